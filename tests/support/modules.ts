/**
 * The modules of the library as their source says, read by the compiler.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import ts from "typescript";

/** The root of the project: the lowered tests are run from elsewhere. */
export const root: string = process.env.MAYFLY_TEST_ROOT ?? process.cwd();

/** A module. */
export interface Module {
  /** From the root, with "/". */
  file: string;
  tree: ts.SourceFile;
}

/** Every module of the library. */
export function modules(): Module[] {
  const inLib = readdirSync(join(root, "lib"), { recursive: true }).map((name) =>
    `lib/${name}`.replaceAll("\\", "/")
  );
  const files = ["mod.ts", "cli.ts", ...inLib.filter((file) => file.endsWith(".ts"))];
  return files.sort().map((file) => ({
    file,
    tree: ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.Latest, true),
  }));
}

/** All nodes of a module, comments not among them. */
export function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node;
  const children: ts.Node[] = [];
  ts.forEachChild(node, (child) => void children.push(child));
  for (const child of children) yield* nodesOf(child);
}

/** Where a module imports from, types included; "?" for what only running it would tell. */
export function specifiersOf({ tree }: Module): string[] {
  return [...nodesOf(tree)].flatMap((node) => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined
    ) {
      return [(node.moduleSpecifier as ts.StringLiteral).text];
    }
    if (ts.isImportTypeNode(node)) return [node.argument.getText().slice(1, -1)];
    if (!ts.isCallExpression(node) || node.expression.kind !== ts.SyntaxKind.ImportKeyword) return [];
    const [first] = node.arguments;
    return [first !== undefined && ts.isStringLiteral(first) ? first.text : "?"];
  });
}

/** The files that a module imports, from the root. */
export function importsOf(module: Module): string[] {
  const relative = specifiersOf(module).filter((specifier) => specifier.startsWith("."));
  return relative.map((specifier) => join(dirname(module.file), specifier).replaceAll("\\", "/"));
}
