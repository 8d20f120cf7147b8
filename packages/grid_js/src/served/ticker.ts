import { serveTicks } from "../federated/ticker.js";

serveTicks();
