import { serveEngine } from "../engine/worker.js";

serveEngine();
