export { Serve } from "./serve.js";
export { Stream } from "./stream.js";
export { default as Scene } from "./scene.js";
export { default as Spark } from "./spark.js";
export { default as FlowChart } from "./flow_chart.js";
export * from "./words.js";
