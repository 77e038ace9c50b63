import { describe, expect, it } from "vitest";
import { piecesOf } from "./ansi";
import { reasonOf, relevantChanges, resourceOf } from "./causes";
import { diffOf, type ResourceChange } from "./plandiff";
import { kindOf, moduleOf, rowsOf } from "./plangroup";
import { textDiff } from "./textdiff";

const change = (address: string, actions: string[], more: object = {}): ResourceChange => ({
  address,
  type: "t",
  change: { actions, ...more },
});

describe("colours of terminals", () => {
  it("become classes, and all else is left out", () => {
    expect(piecesOf("a\x1b[1;31mb\x1b[0mc\x1b]0;title\x07d\x1b[2Je")).toEqual([
      { text: "a", className: "" },
      { text: "b", className: "ansi-red ansi-bold" },
      { text: "c", className: "" },
      { text: "d", className: "" },
      { text: "e", className: "" },
    ]);
  });
  it("of larger palettes are passed over whole", () => {
    expect(piecesOf("\x1b[38;5;1mx\x1b[38;2;1;2;31;32my")).toEqual([
      { text: "x", className: "" },
      { text: "y", className: "ansi-green" },
    ]);
  });
});

describe("groups of changes", () => {
  it("know modules with keys that hold dots", () => {
    expect(moduleOf('module.a["x.y"].module.b[0].t.n["z"]')).toBe('module.a["x.y"].module.b[0]');
    expect(moduleOf("t.n")).toBe("");
    expect(resourceOf('module.a["x]"].t.n[3]')).toBe("module.a.t.n");
  });
  it("have a head for each module, and only what the filter lets through", () => {
    const list = [change("t.a", ["create"]), change("module.m.t.b", ["delete", "create"]), change("t.c", ["delete"])];
    const all = { search: "", withFindings: false };
    expect(
      rowsOf(list, all, new Set()).map((r) => ("change" in r ? r.change.address : `${r.module} ${r.count}`)),
    ).toEqual([" 2", "t.a", "t.c", "module.m 1", "module.m.t.b"]);
    expect(rowsOf(list, { ...all, kind: "replace" }, new Set())).toHaveLength(2);
    expect(rowsOf(list, { ...all, withFindings: true }, new Set(["t.c"]))).toEqual([{ change: list[2] }]);
    expect(kindOf(list[2]!)).toBe("destroy");
  });
});

describe("causes", () => {
  it("are told in words, with what forces a replacement", () => {
    const c = change("t.a", ["delete", "create"], { replace_paths: [["zone", 0]] });
    expect(reasonOf({ ...c, action_reason: "replace_because_cannot_update" })).toBe(
      "an attribute cannot be changed in place: zone.0",
    );
    expect(reasonOf(change("t.b", ["update"]))).toBeUndefined();
  });
  it("are the changed resources that the plan reads", () => {
    const relevant = [
      { resource: "t.a", attribute: ["id"] },
      { resource: "t.other", attribute: ["id"] },
    ];
    expect([...relevantChanges([change("t.a[0]", ["create"])], relevant)]).toEqual([["t.a", ["id"]]]);
  });
});

describe("differences", () => {
  it("hide what is sensitive and say what is unknown", () => {
    const lines = diffOf({
      actions: ["update"],
      before: { a: 1, password: null, same: 1 },
      after: { a: 1, password: null, same: 1 },
      after_unknown: { id: true },
      before_sensitive: { password: true },
      after_sensitive: { password: true },
    });
    expect(lines.map((l) => [l.path, l.before, l.after])).toEqual([
      ["id", undefined, "(known after apply)"],
      ["password", "(sensitive)", "(sensitive)"],
    ]);
  });
  it("of texts are told line by line", () => {
    expect(textDiff("a\nb\nc", "a\nx\nc")).toEqual([
      { kind: "same", text: "a" },
      { kind: "remove", text: "b" },
      { kind: "add", text: "x" },
      { kind: "same", text: "c" },
    ]);
  });
});
