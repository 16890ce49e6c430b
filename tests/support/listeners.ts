/**
 * Counting the listeners of a child, whether or not the runtime can report them.
 *
 * @module
 */

/** Goes before a child's code: `listeners()` counts. */
export const LISTENERS = `
let added = 0;
if (globalThis.Deno?.version) {
  for (const [target, add, remove] of [[globalThis, "addEventListener", "removeEventListener"], [Deno, "addSignalListener", "removeSignalListener"]]) {
    const [realAdd, realRemove] = [target[add], target[remove]];
    target[add] = (...args) => { added++; return realAdd.apply(target, args); };
    target[remove] = (...args) => { added--; return realRemove.apply(target, args); };
  }
}
const EVENTS = ["exit", "SIGINT", "SIGTERM", "SIGHUP", "uncaughtException", "unhandledRejection", "beforeExit"];
const listeners = () => added + EVENTS.reduce((sum, event) => sum + process.listenerCount(event), 0);
`;
