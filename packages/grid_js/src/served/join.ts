import { beginPage } from "../page/main.js";

void beginPage();
