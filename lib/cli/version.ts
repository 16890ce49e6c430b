/** The version of the package. A test compares it to the manifests. */
export const VERSION = "0.1.0";
