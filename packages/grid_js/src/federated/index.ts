/** Taking part in trainings: the seam to pages. */

export { FLClient, type ClientOptions, type TrainingOffer } from "./client.js";
export { FLJob, type RunOptions, type Stated } from "./job.js";
export type { Events, Listener, Progress, RunSummary, Sent } from "./events.js";
export type { WorkerBounds } from "./bounds.js";
export type { ArrayInputs, CategoryColumn, InputColumn, NumberColumn, TableInputs, TrainingInputs } from "./inputs/declared.js";
export { match, type About, type Matched, type SiteData, type SiteSamples, type SiteTable, type SiteTensors } from "./inputs/matching.js";
export type { Problem, ProblemCode } from "./inputs/problems.js";
export type { DefinitionFacts, DefinitionView, TrainingReview } from "./messages.js";
export type { LoadPlan, PlanDocument, PlanInput, PlanOutput, PlanRunner } from "./plan.js";
