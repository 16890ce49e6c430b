/**
 * The encoder of text as UTF-8.
 *
 * @module
 */

/** Encodes text; has no state. */
export const utf8: TextEncoder = new TextEncoder();
