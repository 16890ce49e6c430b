#!/usr/bin/env node
/**
 * The command line: `mayfly file`, `dir`, `run`, `sweep`, `usage` and `doctor`. Importing it runs it.
 *
 * @module
 */
import { main } from "./lib/cli/main.ts";
import { cliHost } from "./lib/runtime/cli_host.ts";

main(cliHost(globalThis));
