// What the tests run in a page of the Domain: one participant, with the names that programs use.
// The runner stands in for the engine: linear regression by hand, on the inputs of the plan that the tests host.
async function grid() {
  return import("/static/peer/grid.js");
}

const DOCUMENT = {
  inputs: [
    { name: "xs", role: "data", dtype: "f32", shape: [["sym", "B"], 3], default: null },
    { name: "ys", role: "target", dtype: "f32", shape: [["sym", "B"]], default: null },
    { name: "lr", role: "hyper", dtype: "f32", shape: [], default: null },
    { name: "params.0", role: "param", dtype: "f32", shape: [3], default: null },
  ],
  outputs: [
    { name: "loss", role: "metric", dtype: "f32", shape: [] },
    { name: "params.0", role: "param", dtype: "f32", shape: [3] },
  ],
  symbols: new Map([["B", [1, 1000]]]),
};

function runner() {
  return {
    document: DOCUMENT,
    async run([xs, ys, lr, params]) {
      const x = new Float32Array(xs.data), y = new Float32Array(ys.data), w = new Float32Array(params.data);
      const rows = xs.shape[0], gradient = new Float64Array(3), rate = new Float32Array(lr.data)[0];
      let loss = 0;
      for (let row = 0; row < rows; row++) {
        let error = -y[row];
        for (let at = 0; at < 3; at++) error += x[row * 3 + at] * w[at];
        loss += error ** 2 / rows;
        for (let at = 0; at < 3; at++) gradient[at] += (2 * error * x[row * 3 + at]) / rows;
      }
      const trained = Float32Array.from(w, (value, at) => value - rate * gradient[at]);
      return [
        { dtype: "F32", shape: [], data: Float32Array.of(loss).buffer },
        { dtype: "F32", shape: [3], data: trained.buffer },
      ];
    },
    close() {},
  };
}

// Resolves after the first step of a participant that is held there.
window.firstStep = new Promise((resolve) => (window.reached = resolve));

// One participant over `address`, with the rows that Python gives; what became of it, in values that JSON has.
window.takePart = async function takePart({ address, name, version = "1", agreed = "", data, seed = 0, maxCycles, identity = "default", bounds, hold }) {
  const { FLClient, Identity, BrowserStore } = await grid();
  const store = new BrowserStore(), events = [];
  const client = new FLClient({
    address: address ?? location.origin, identity: await Identity.loadOrCreate(store, identity), store, bounds,
    loadPlan: async () => runner(),
  });
  const job = client.newJob(name, version, agreed);
  for (const event of ["rejected", "error", "cycle_started", "finished", "reported"]) {
    job.addListener(event, (_, value) => events.push([event, value instanceof Error ? `${value.name}: ${value.message}` : value]));
  }
  window.job = job;
  if (hold) {
    job.addListener("progress", () => {
      window.reached();
      return new Promise((go) => (window.go = go));
    });
  }
  const table = { kind: "table", title: "rows.csv", columns: new Map(Object.entries(data)) };
  try {
    const summary = await job.run({ data: table, seed, maxCycles });
    return { summary, events, sent: await job.sent(), path: client.path };
  } catch (error) {
    return { error: `${error.name}: ${error.message}`, code: error.code, extra: JSON.parse(JSON.stringify(error.extra ?? null)), events };
  } finally {
    client.close();
    job.close();
  }
};
