import { applied, expect, settled, test } from "./server";

test("a change is planned, reviewed, approved and seen to its end", async ({ page, served }) => {
  await applied(served, "network");
  await page.goto(served.url + "/stacks");
  await page.getByRole("row", { name: /shop/ }).first().getByRole("link", { name: "shop" }).click();
  await page.getByRole("button", { name: "Plan and apply" }).click();
  await expect(page.getByText("waits for an approval")).toBeVisible();
  await page.getByRole("link", { name: "Review the plan" }).click();
  const change = page.getByRole("article", { name: 'create module.web["green"].terraform_data.server[1]' });
  await change.scrollIntoViewIfNeeded();
  await expect(change.getByText("(sensitive)").first()).toBeVisible();
  await expect(change.getByText("web servers need a second zone")).toBeVisible();
  await expect(page.getByText("correct-horse")).toHaveCount(0);
  await page.getByRole("button", { name: "Approve" }).click();
  const dialog = page.getByRole("dialog", { name: "Approve this plan?" });
  await dialog.getByLabel("Comment").fill("as agreed");
  await dialog.getByRole("button", { name: "Approve" }).click();
  await expect(page.locator(".page-head [data-status=succeeded]")).toBeVisible();
  await page.goto(served.url + "/stacks/dev/shop");
  await expect(page.getByText("6 nodes for 6 objects")).toBeVisible();
  await page.getByRole("tab", { name: "Objects" }).click();
  await expect(page.getByRole("code").getByText("terraform_data.image")).toBeVisible();
  await page.goto(served.url + "/events?search=approval");
  await expect(page.getByRole("button", { name: "approval.approved" })).toBeVisible();
});

test("a plan says why it changes what, and lists what is asked for", async ({ page, served }) => {
  await applied(served, "network");
  await applied(served, "shop");
  const main = "shop/main.tf";
  served.write(main, served.read(main).replace('default = "1"', 'default = "2"'));
  await page.goto(served.url + "/stacks/dev/shop");
  await page.getByRole("button", { name: "Plan and apply" }).click();
  await page.getByRole("link", { name: "Review the plan" }).click();
  const image = page.getByRole("article", { name: "replace terraform_data.image" });
  await expect(image.getByText("forces replacement")).toBeVisible();
  await expect(page.getByText("− release 1").first()).toBeVisible();
  const server = page.getByRole("article", { name: 'update module.web["blue"].terraform_data.server[0]' });
  await server.scrollIntoViewIfNeeded();
  await expect(server.getByText("What it needs changes, too")).toBeVisible();
  await page.keyboard.press("z");
  await page.getByRole("button", { name: /replace 1/ }).click();
  await expect(page.getByRole("article")).toHaveCount(1);
  await page.getByRole("button", { name: /replace 1/ }).click();
  await page.getByRole("button", { name: /with findings/ }).click();
  await expect(page.getByRole("article")).toHaveCount(4);
  await page.getByRole("button", { name: "Reject" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Reject" }).click();
  await expect(page.locator(".page-head [data-status=failed]")).toBeVisible();
});

test("a workflow is started, followed and approved", async ({ page, served }) => {
  await page.goto(served.url + "/workflows/release");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByLabel(/version/).fill("1.2.3");
  await page.getByRole("button", { name: "Start" }).click();
  await expect(page.locator(".ansi-green")).toHaveText("building");
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Approve" }).click();
  await expect(page.locator(".page-head [data-status=succeeded]")).toBeVisible();
  await page.getByRole("tab", { name: "Logs" }).click();
  await page.getByRole("searchbox", { name: "Search the logs" }).fill("part 3");
  await expect(page.locator(".log-line")).toHaveText(/shipping part 3/);
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download" }).click();
  expect((await download).suggestedFilename()).toMatch(/\.log$/);
});

test("what failed is run again, from a step where it is asked for", async ({ page, served }) => {
  const run = await served.api<{ id: string }>("POST", "/runs", { workflow: "broken", environment: "dev" });
  await settled(served, run.id, ["failed"]);
  await page.goto(served.url + "/runs");
  await page.getByRole("link", { name: "workflow broken" }).click();
  await expect(page.locator(".page-head [data-status=failed]")).toBeVisible();
  await page.getByRole("alert").getByRole("button", { name: "fails" }).click();
  await expect(page.locator(".log-line").getByText("something is wrong")).toBeVisible();
  await page.getByRole("button", { name: "Run again from here" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Run again from here" }).click();
  await expect(page.getByRole("heading", { name: /again after run/ })).toBeVisible();
});

test("a change is rolled back, and the record verified", async ({ page, served }) => {
  await applied(served, "network");
  await page.goto(served.url + "/stacks/dev/network?tab=history");
  await page.getByRole("button", { name: "Roll back" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Roll back" }).click();
  await page.getByRole("link", { name: "Review the plan" }).click();
  await expect(page.getByRole("article", { name: "destroy terraform_data.network" })).toBeVisible();
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Approve" }).click();
  await expect(page.locator(".page-head [data-status=succeeded]")).toBeVisible();
  await page.goto(served.url + "/stacks/dev/network");
  await expect(page.getByText("No objects yet")).toBeVisible();

  await page.getByRole("link", { name: "Audit" }).click();
  await page.getByRole("button", { name: "Verify" }).click();
  await expect(page.getByText("The chain holds.")).toBeVisible();
});

test("keys go everywhere", async ({ page, served }) => {
  await page.goto(served.url);
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await expect(page.getByRole("heading", { name: "Stacks" })).toBeVisible();
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill("relea");
  await expect(page.getByRole("option").first()).toContainText("release");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "release", exact: true })).toBeVisible();
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keys" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
});

test("drift is found, and put back", async ({ page, served }) => {
  served.write("things.tutti.hcl", 'stack "things" {\n  source = "./things"\n}\nobserve {\n  every = "24h"\n}\n');
  served.write(
    "things/main.tf",
    `
terraform {
  required_providers {
    world = { source = "tutti-dev/world" }
  }
}
provider "world" {
  folder = "world"
}
resource "world_thing" "it" {
  name  = "it"
  value = "as it was"
}
`,
  );
  served.write("things/world/empty", "");
  served.tutti("init");
  await applied(served, "things");
  const thing = "things/world/thing.it.json";
  served.write(thing, served.read(thing).replace("as it was", "as somebody else likes it"));
  await page.goto(served.url + "/stacks/dev/things?tab=drift");
  await page.getByRole("button", { name: "Look now" }).click();
  const found = page.getByRole("article", { name: "drift of world_thing.it" });
  await expect(found.getByText("as somebody else likes it")).toBeVisible();
  await expect(page.getByText("1 object drifted")).toBeVisible();
  await page.getByRole("button", { name: "Plan to put it back" }).click();
  await page.getByRole("link", { name: "Review the plan" }).click();
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Approve" }).click();
  await expect(page.locator(".page-head [data-status=succeeded]")).toBeVisible();
  expect(served.read(thing)).toContain("as it was");
});

test("an event starts a workflow, and is replayed", async ({ page, served }) => {
  await page.goto(served.url + "/triggers");
  await expect(page.getByRole("heading", { name: "pushed" })).toBeVisible();
  await served.api("POST", "/events", { specversion: "1.0", id: "1", source: "/test", type: "com.example.push" });
  await expect(page.getByRole("link", { name: "its run" })).toHaveCount(1);
  await page.goto(served.url + "/events?search=com.example.push");
  await page.getByRole("button", { name: "com.example.push" }).first().click();
  const panel = page.getByRole("complementary", { name: /^Event \d/ });
  await expect(panel.getByRole("link", { name: "its run" })).toHaveCount(1);
  await panel.getByRole("button", { name: "Replay" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
  await page.goto(served.url + "/triggers");
  await expect(page.getByRole("link", { name: "its run" })).toHaveCount(2);
});

test.describe("with somebody to tell", () => {
  test.use({ options: { args: [], files: {}, notifies: true } });

  test("what was told is listed, and what was given up is sent again", async ({ page, served }) => {
    const run = await served.api<{ id: string }>("POST", "/runs", { workflow: "broken", environment: "dev" });
    await settled(served, run.id, ["failed"]);
    await page.goto(served.url);
    await page.getByRole("link", { name: "Deliveries" }).click();
    const table = page.getByRole("table", { name: "Deliveries" });
    await expect(table.locator("[data-status=delivered]")).toHaveCount(1);
    await expect(table.locator("[data-status=pending]")).toHaveCount(1);
    await page.getByRole("button", { name: "dead", exact: true }).click();
    await expect(table.getByRole("row")).toHaveCount(2); // one with the heads
    await table.getByRole("button", { name: "ops" }).click();
    const panel = page.getByRole("complementary", { name: /^Delivery/ });
    await expect(panel.getByText("it was answered 410 Gone")).toBeVisible();
    await panel.getByRole("button", { name: "Send again" }).click();
    await expect(page.getByText("It is sent again.")).toBeVisible();
    await panel.getByRole("link", { name: "run.failed" }).click();
    await expect(page.getByRole("complementary", { name: /^Event/ })).toBeVisible();
    await page.goto(served.url + "/events?search=delivery.retried");
    await expect(page.getByRole("button", { name: "delivery.retried" })).toBeVisible();
  });
});

test("the items of a step are looked at one by one", async ({ page, served }) => {
  const run = await served.api<{ id: string }>("POST", "/runs", { workflow: "fan_out", environment: "dev" });
  await settled(served, run.id, ["succeeded"]);
  await page.goto(`${served.url}/runs/${run.id}`);
  await page.getByRole("button", { name: "regions: succeeded" }).click();
  await page.getByRole("button", { name: "Show its items" }).click();
  const table = page.getByRole("table", { name: "Items of regions" });
  await expect(table.getByRole("row")).toHaveCount(5);
  await page.getByRole("button", { name: "failed 1" }).click();
  await expect(table.getByRole("row")).toHaveCount(2);
  await table.getByRole("button", { name: "sa" }).click();
  const panel = page.getByRole("complementary", { name: /^Item/ });
  await expect(panel.getByText("Tutti.CommandFailed")).toBeVisible();
  // Both attempts wrote a line; the other items' lines are not here.
  await expect(page.locator(".log-line")).toHaveText([/shipping to sa/, /shipping to sa/]);
});

test("what is looked for is in the address, to which the way back leads", async ({ page, served }) => {
  const run = await served.api<{ id: string }>("POST", "/runs", { workflow: "broken", environment: "dev" });
  await settled(served, run.id, ["failed"]);
  await page.goto(served.url + "/runs");
  await page.getByRole("searchbox").fill("nothing like it");
  await page.getByRole("button", { name: "Show all runs" }).click();
  await page.getByRole("searchbox").fill("broken");
  await page.getByRole("searchbox").blur();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await expect(page).toHaveTitle("✕ workflow broken · Tutti");
  await page.getByRole("tab", { name: "Logs" }).click();
  await page.getByRole("searchbox").fill("wrong");
  await expect(page.locator(".log-line mark")).toHaveText("wrong");
  await expect(page.locator(".log-number")).toHaveText("2");
  await page.goBack();
  await expect(page.getByRole("tab", { name: "Graph" })).toHaveAttribute("aria-selected", "true");
  await page.goBack();
  await expect(page.getByRole("searchbox")).toHaveValue("broken");
});
