import { serveData } from "../page/data/worker.js";

serveData();
