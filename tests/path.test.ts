import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import {
  absolute,
  baseName,
  componentsInside,
  isAbsolute,
  isNameless,
  joinPath,
  parentOf,
  shownPath,
  withoutTrailingSeparators,
} from "../lib/path.ts";
import { substitute } from "./support/substitute.ts";

const on = (platform: "linux" | "windows") => substitute({ runtime: { platform } });

test("joinPath() puts one separator of the platform between directory and name, and none after a root", () => {
  {
    using _posix = on("linux");
    assert.equal(joinPath("/tmp", "a"), "/tmp/a");
    assert.equal(joinPath("/", "a"), "/a");
    assert.equal(joinPath("/a\\", "b"), "/a\\/b");
  }
  using _windows = on("windows");
  assert.equal(joinPath("C:\\tmp", "a"), "C:\\tmp\\a");
  assert.equal(joinPath("C:\\", "a"), "C:\\a");
});

test("joinPath() returns bytes if the path or the name is bytes", () => {
  using _posix = on("linux");
  const slash = 0x2f, odd = 0xff, a = 0x61;
  assert.deepEqual(joinPath("/a", Uint8Array.of(odd)), Uint8Array.of(slash, a, slash, odd));
  assert.deepEqual(joinPath(Uint8Array.of(slash, odd), "a"), Uint8Array.of(slash, odd, slash, a));
  assert.deepEqual(joinPath(Uint8Array.of(slash), Uint8Array.of(odd)), Uint8Array.of(slash, odd));
});

test("shownPath() shows a path in bytes as text, with a replacement character for what is not UTF-8", () => {
  assert.equal(shownPath("/tmp/a"), "/tmp/a");
  assert.equal(shownPath(Uint8Array.of(0x2f, 0xc3, 0xa9, 0x2f, 0xff)), "/é/\uFFFD");
});

test("absolute() resolves a relative path against the working directory, except for another drive's, and if there is none", () => {
  const from = (platform: "linux" | "windows", cwd?: string) => {
    using _runtime = substitute({ runtime: { platform, cwd: () => cwd } });
    return ["a", "/a", "c:a"].map(absolute);
  };
  assert.deepEqual(from("linux", "/here"), ["/here/a", "/a", "/here/c:a"]);
  assert.deepEqual(from("windows", "D:\\here"), ["D:\\here\\a", "/a", "c:a"]);
  assert.deepEqual(from("linux"), ["a", "/a", "c:a"]);
});

test("baseName() and parentOf() split paths as the platform does", () => {
  {
    using _posix = on("linux");
    for (
      const [whole, parent, base] of [["/a/b", "/a", "b"], ["/a", "/", "a"], ["a", ".", "a"], [
        "a\\b",
        ".",
        "a\\b",
      ], ["/", "/", ""]]
    ) {
      assert.equal(parentOf(whole), parent, whole);
      assert.equal(baseName(whole), base, whole);
    }
  }
  using _windows = on("windows");
  for (
    const [whole, parent, base] of [
      ["C:\\a\\b", "C:\\a", "b"],
      ["C:\\a", "C:\\", "a"],
      ["C:/a/b", "C:/a", "b"],
      ["C:\\", "C:\\", ""],
      ["C:a", "C:", "a"],
      ["C:a\\b", "C:a", "b"],
      ["C:", "C:", ""],
      ["a", ".", "a"],
      ["\\a", "\\", "a"],
    ]
  ) {
    assert.equal(parentOf(whole), parent, whole);
    assert.equal(baseName(whole), base, whole);
  }
});

test("parentOf() on Windows treats the top of a share, of a volume, and of a drive by its device path as roots", () => {
  using _windows = on("windows");
  for (
    const root of [
      "\\\\server\\share\\",
      "//server/share/",
      "\\\\?\\C:\\",
      "\\\\.\\C:\\",
      "\\\\?\\Volume{0f0a}\\",
    ]
  ) {
    assert.equal(parentOf(root), root);
    assert.equal(parentOf(`${root}a`), root);
    assert.equal(parentOf(`${root}a\\b`), `${root}a`);
  }
});

test("parentOf() and baseName() agree with node:path for random absolute paths", () => {
  const name = fc.string({ minLength: 1, maxLength: 5 }).filter((text) =>
    !/[/\\\0:]/.test(text) && text !== "." && text !== ".."
  );
  fc.assert(fc.property(fc.array(name, { minLength: 1, maxLength: 6 }), (names) => {
    {
      using _posix = on("linux");
      const whole = "/" + names.join("/");
      assert.equal(parentOf(whole), path.posix.dirname(whole));
      assert.equal(baseName(whole), path.posix.basename(whole));
    }
    using _windows = on("windows");
    const whole = "C:\\" + names.join("\\");
    assert.equal(parentOf(whole), path.win32.dirname(whole));
  }));
});

test("withoutTrailingSeparators() removes all trailing separators, but none of a root", () => {
  {
    using _posix = on("linux");
    for (
      const [given, wanted] of [["/a/", "/a"], ["/a///", "/a"], ["/", "/"], ["///", "///"], ["a\\", "a\\"], [
        "a/b",
        "a/b",
      ]]
    ) {
      assert.equal(withoutTrailingSeparators(given), wanted, given);
    }
  }
  using _windows = on("windows");
  for (
    const [given, wanted] of [["C:\\a\\", "C:\\a"], ["C:\\a/\\", "C:\\a"], ["C:\\", "C:\\"], ["\\", "\\"]]
  ) {
    assert.equal(withoutTrailingSeparators(given), wanted, given);
  }
});

test("isNameless() is true for roots, a trailing separator, and a last component of dots, or on Windows of dots and spaces", () => {
  const paths = ["/", "a/", "a/.", "a/..", ".", "a/...", "a/ .", "a/b.", "a.", ".a", "a"];
  const found = (): string[] => paths.filter(isNameless);
  {
    using _posix = on("linux");
    assert.deepEqual(found(), ["/", "a/", "a/.", "a/..", "."]);
  }
  using _windows = on("windows");
  assert.deepEqual(found(), ["/", "a/", "a/.", "a/..", ".", "a/...", "a/ ."]);
});

test("isAbsolute() recognizes the roots of the platform", () => {
  {
    using _posix = on("linux");
    assert.deepEqual(["/", "/a", "a", "", "C:\\a", "\\a", "./a"].map(isAbsolute), [
      true,
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
  }
  using _windows = on("windows");
  assert.deepEqual(
    ["C:\\a", "c:/a", "\\a", "/a", "\\\\server\\share", "a", "C:a"].map(isAbsolute),
    [true, true, true, true, true, false, false],
  );
});

test("componentsInside() returns undefined for paths that lead outside, on POSIX and Windows", () => {
  {
    using _posix = on("linux");
    assert.deepEqual(componentsInside("a/./b//c"), ["a", "b", "c"]);
    assert.deepEqual(componentsInside("a/../b"), ["b"]);
    assert.deepEqual(componentsInside("..a/b.."), ["..a", "b.."]);
    assert.deepEqual(componentsInside("a\\..\\..\\b"), ["a\\..\\..\\b"]);
    for (const outside of ["..", "../a", "a/../..", "a/../../a", "./.."]) {
      assert.equal(componentsInside(outside), undefined, outside);
    }
  }
  using _windows = on("windows");
  assert.deepEqual(componentsInside("a\\b/c"), ["a", "b", "c"]);
  assert.deepEqual(componentsInside(".a\\b.c"), [".a", "b.c"]);
  for (const outside of ["..\\a", "a\\..\\..", "a/..\\../b", ".. \\a", "...", ". .", "a\\.. .\\b", " "]) {
    assert.equal(componentsInside(outside), undefined, outside);
  }
});

test("componentsInside() agrees with node:path about which paths lead outside, or is stricter", () => {
  const part = fc.constantFrom("a", "b", "..", ".", "", "...", "a b", "..a");
  fc.assert(fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
    using _posix = on("linux");
    const text = parts.join("/");
    const inside = componentsInside(text);
    const normal = path.posix.normalize(text).replace(/\/+$/, "");
    // A path that leaves the directory and returns is outside too.
    if (inside !== undefined) {
      assert.equal(path.posix.join("/root", ...inside), path.posix.join("/root", text).replace(/\/+$/, ""));
    } else assert.ok(text.split("/").includes(".."), normal);
    if (normal === ".." || normal.startsWith("../")) assert.equal(inside, undefined);
  }));
});
