/**
 * What an error must report, on any disk.
 *
 * @module
 */
import assert from "node:assert/strict";

/** Asserts that an error of the library reports what went wrong, by the code of the call that failed, and where. */
export function assertInformative(
  error: { code?: string; path?: string; message: string },
  code: string,
  label: string,
): void {
  const collective = /^ERR_(LEFTOVER|NO_TMPDIR)$/.test(error.code ?? "") && error.message.includes(code);
  assert.ok(error.code === code || collective, `${error.code}: ${label}`);
  const isNamed = error.path !== undefined ||
    /the temporary file|descriptor|ERR_NO_TMPDIR/.test(error.message + error.code);
  assert.ok(isNamed, `it does not say what it is about: ${label}`);
}
