import type { Page } from "@playwright/test";
import { expect, settled, test } from "./server";

// What is large is made up here: to really make so many objects would take minutes.

const digest = "0".repeat(64);

const change = (i: number) => ({
  address: `module.part["p${i % 100}"].terraform_data.thing[${i}]`,
  type: "terraform_data",
  change: {
    actions: i % 3 === 0 ? ["update"] : ["create"],
    before: i % 3 === 0 ? { input: "old", id: String(i) } : null,
    after: { input: `new ${i}` },
    after_unknown: {},
  },
});

/** Answers a path of the API with something made up. */
async function answer(page: Page, path: string, body: unknown) {
  await page.route("**/api/v1" + path, (route) => route.fulfill({ json: body }));
}

/** The longest time in milliseconds in which the page drew nothing while something was done. */
async function longestFrame(page: Page, doing: () => Promise<void>): Promise<number> {
  await page.evaluate(() => {
    const seen = { last: performance.now(), longest: 0 };
    Object.assign(window, { frames_: seen });
    const frame = (now: number) => {
      seen.longest = Math.max(seen.longest, now - seen.last);
      seen.last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  await doing();
  return page.evaluate(() => (window as unknown as { frames_: { longest: number } }).frames_.longest);
}

const elements = (page: Page) => page.evaluate(() => document.querySelectorAll("*").length);

test("a plan of 10,000 changes is listed and scrolled with few elements", async ({ page, served }) => {
  const changes = Array.from({ length: 10_000 }, (_, i) => change(i));
  const stack = { stack: "large", add: 0, change: 0, destroy: 0, plan: { resource_changes: changes }, needs: {} };
  await answer(page, `/plans/${digest}`, { digest, environment: "dev", kind: "apply", stacks: [stack] });
  const begun = Date.now();
  await page.goto(`${served.url}/plans/${digest}`);
  await expect(page.getByText("10,000 changes", { exact: true })).toBeVisible();
  const shown = Date.now() - begun;
  const longest = await longestFrame(page, async () => {
    for (let i = 0; i < 60; i++) await page.mouse.wheel(0, 1500);
    await page.keyboard.press("End");
    await expect(page.getByRole("article").last()).toBeVisible();
  });
  await page.getByRole("searchbox").fill("thing[9876]");
  await expect(page.getByRole("article")).toHaveCount(1);
  await page.getByRole("searchbox").fill("");
  await page.keyboard.press("Escape");
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  await page.keyboard.press("x");
  await expect(page.getByRole("article").first().getByRole("table")).toBeVisible();
  const drawn = await elements(page);
  console.log(`10,000 changes: shown after ${shown} ms, longest frame ${longest.toFixed(0)} ms, ${drawn} elements`);
  expect(drawn).toBeLessThan(3000);
});

test("a graph of 5,000 objects begins small, and opens group by group", async ({ page, served }) => {
  const items = Array.from({ length: 5000 }, (_, i) => ({
    address: `module.part["p${i % 10}"].t${i % 3}_x.n[${i}]`,
    type: `t${i % 3}_x`,
    provider: "registry.terraform.io/acme/things",
    mode: "managed",
    depends_on: i % 3 === 0 ? [] : [`module.part.t${(i % 3) - 1}_x.n`],
  }));
  await answer(page, "/environments/dev/stacks/shop/objects", { items });
  const begun = Date.now();
  await page.goto(served.url + "/stacks/dev/shop");
  await expect(page.getByText("for 5,000 objects")).toBeVisible();
  await expect(page.locator(".react-flow__node").first()).toBeVisible();
  const shown = Date.now() - begun;
  const first = await page.locator(".react-flow__node").count();
  expect(first).toBeLessThanOrEqual(40);
  await page.locator(".react-flow__node").first().click();
  await expect.poll(() => page.locator(".react-flow__node").count()).toBeGreaterThan(first);
  const box = (await page.locator(".graph").boundingBox())!;
  const longest = await longestFrame(page, async () => {
    await page.mouse.move(box.x + 200, box.y + 200);
    await page.mouse.down();
    for (let i = 0; i < 40; i++) await page.mouse.move(box.x + 200 + i * 5, box.y + 200 + i * 2);
    await page.mouse.up();
  });
  await page.getByRole("tab", { name: "Objects" }).click();
  await page
    .getByRole("table", { name: "Objects" })
    .locator(".rows-box")
    .evaluate((b) => b.scrollTo(0, b.scrollHeight));
  await expect(page.getByTitle('module.part["p9"].t1_x.n[4999]', { exact: true })).toBeVisible();
  const drawn = await elements(page);
  console.log(`5,000 objects: shown after ${shown} ms, longest frame ${longest.toFixed(0)} ms, ${drawn} elements`);
  expect(drawn).toBeLessThan(1500);
});

test("10,000 items of a step are scrolled, of which only those in sight are read", async ({ page, served }) => {
  const count = 10_000;
  const item = (number: number) => ({
    number,
    name: `regions["n${number}"]`,
    status: number % 100 === 7 ? "failed" : "succeeded",
    attempts: 1,
    begun: "2026-01-02T03:04:05Z",
    ended: "2026-01-02T03:04:06Z",
  });
  const run = await served.api<{ id: string }>("POST", "/runs", { workflow: "fan_out", environment: "dev" });
  await settled(served, run.id, ["succeeded"]);
  let reads = 0;
  await page.route("**/api/v1/runs/*/steps/*/items?*", (route) => {
    reads++;
    const query = new URL(route.request().url()).searchParams;
    const all = Array.from({ length: count }, (_, i) => item(i)).filter(
      (i) => !query.get("status") || i.status === query.get("status"),
    );
    const from = Number(query.get("cursor"));
    const items = all.slice(from, from + Number(query.get("limit")));
    return route.fulfill({
      json: { items, total: all.length, counts: { failed: count / 100, succeeded: count - count / 100 } },
    });
  });
  await page.goto(`${served.url}/runs/${run.id}?step=regions&tab=items`);
  const table = page.getByRole("table", { name: "Items of regions" });
  await expect(table.getByRole("button", { name: "n0", exact: true })).toBeVisible();
  const longest = await longestFrame(page, async () => {
    const box = table.locator(".rows-box");
    for (const share of [0.2, 0.5, 0.8]) await box.evaluate((b, s) => b.scrollTo(0, b.scrollHeight * s), share);
    await box.evaluate((b) => b.scrollTo(0, b.scrollHeight));
    await expect(table.getByRole("button", { name: "n9999" })).toBeVisible();
  });
  const drawn = await elements(page);
  expect(reads).toBeLessThan(12);
  await page.getByRole("button", { name: "failed 100" }).click();
  await expect(table.getByRole("button", { name: "n7", exact: true })).toBeVisible();
  console.log(`10,000 items: longest frame ${longest.toFixed(0)} ms, ${drawn} elements, ${reads} readings`);
  expect(drawn).toBeLessThan(1200);
});
