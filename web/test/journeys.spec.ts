import AxeBuilder from "@axe-core/playwright";
import { expect, test } from "./server";

test("a change is planned, reviewed, approved and seen to its end", async ({ page, served }) => {
  await served.api("POST", "/environments/dev/stacks/network/changes", { kind: "apply" });
  await page.goto(served.url + "/stacks");
  await page.getByRole("link", { name: "network" }).first().waitFor();
  await expect(page.getByRole("row", { name: /network dev 1/ })).toBeVisible();
  await page
    .getByRole("row", { name: /shop dev/ })
    .getByRole("link", { name: "shop" })
    .click();
  await page.getByRole("button", { name: "Plan and apply" }).click();
  await expect(page.getByText("waits for an approval")).toBeVisible();
  await page.getByRole("link", { name: "Review the plan" }).click();
  await expect(page.getByText("terraform_data.web[1]")).toBeVisible();
  await expect(page.getByText("(sensitive)").first()).toBeVisible();
  await expect(page.getByText("correct-horse")).toHaveCount(0);
  const found = await new AxeBuilder({ page }).analyze();
  expect(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join("\n")}`)).toEqual([]);
  await page.getByRole("button", { name: "Approve" }).click();
  await expect(page.locator(".page-head .status-succeeded")).toBeVisible();
  await page.goto(served.url + "/stacks/dev/shop");
  await expect(page.getByText("terraform_data.web[0]")).toBeVisible();
});

test("a workflow is started, followed and approved", async ({ page, served }) => {
  await page.goto(served.url + "/workflows/release");
  await page.getByText("Run", { exact: true }).click();
  await page.getByLabel(/version/).fill("1.2.3");
  await page.getByRole("button", { name: "Start" }).click();
  await expect(page.getByText("building 1.2.3")).toBeVisible();
  await page.getByRole("button", { name: "Approve" }).click();
  await expect(page.locator(".page-head .status-succeeded")).toBeVisible();
  await page.getByRole("tab", { name: "Logs" }).click();
  await expect(page.getByText("shipping part 3")).toBeVisible();
});

test("what failed is run again, a change is rolled back, and the record verified", async ({ page, served }) => {
  await served.api("POST", "/runs", { workflow: "broken", environment: "dev" });
  await page.goto(served.url + "/runs");
  await page.getByRole("link", { name: "workflow broken" }).click();
  await expect(page.locator(".page-head .status-failed")).toBeVisible();
  await page.getByRole("tab", { name: "Logs" }).click();
  await expect(page.getByText("something is wrong")).toBeVisible();
  await page.getByRole("button", { name: "Run again what did not succeed" }).click();
  await expect(page.getByText("again after run")).toBeVisible();

  await served.api("POST", "/environments/dev/stacks/network/changes", { kind: "apply" });
  await page.goto(served.url + "/stacks/dev/network");
  await expect(page.getByText("terraform_data.network")).toBeVisible();
  await page.getByRole("tab", { name: "History" }).click();
  page.on("dialog", (dialog) => dialog.accept());
  await page.getByRole("button", { name: "Roll back" }).click();
  await expect(page.locator(".page-head .status-succeeded")).toBeVisible();
  await page.goto(served.url + "/stacks/dev/network");
  await expect(page.getByRole("tab", { name: "Objects (0)" })).toBeVisible();

  await page.getByRole("link", { name: "Audit" }).click();
  await page.getByRole("button", { name: "Verify" }).click();
  await expect(page.getByText("The chain holds.")).toBeVisible();
});

for (const scheme of ["light", "dark"] as const) {
  test(`every page is accessible, in ${scheme}`, async ({ page, served }) => {
    await page.emulateMedia({ colorScheme: scheme });
    await served.api("POST", "/environments/dev/stacks/network/changes", { kind: "apply" });
    const run = await served.api<{ id: string }>("POST", "/runs", {
      workflow: "release",
      environment: "dev",
      inputs: { version: "1" },
    });
    for (const [path, text] of [
      ["/", "Latest runs"],
      ["/runs", "workflow release"],
      [`/runs/${run.id}`, "waits for an approval"],
      ["/approvals", "Is this version fit to ship?"],
      ["/stacks", "network"],
      ["/stacks/dev/network", "Objects"],
      ["/workflows", "Builds a version"],
      ["/workflows/release", "Latest runs"],
      ["/events", "run.started"],
      ["/audit", "Verify"],
    ] as const) {
      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: 800 });
        await page.goto(served.url + path);
        await expect(page.getByText(text).first()).toBeVisible();
        await expect(page.locator("[aria-busy=true]")).toHaveCount(0); // the graph is laid out
        const found = await new AxeBuilder({ page }).exclude(".react-flow__attribution").analyze();
        const told = found.violations.map((v) => `${path} ${width} ${v.id}: ${v.nodes.map((n) => n.html).join("\n")}`);
        expect(told).toEqual([]);
        const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        expect(beyond, `${path} is wider than ${width}`).toBeLessThanOrEqual(0);
      }
    }
  });
}
