import AxeBuilder from "@axe-core/playwright";
import { expect, test } from "./server";

test("a change is planned, reviewed, approved and seen to its end", async ({ page, served }) => {
  await served.api("POST", "/environments/dev/stacks/network/changes", { kind: "apply" });
  await page.goto(served.url + "/stacks");
  await page.getByRole("link", { name: "network" }).first().waitFor();
  await expect(page.getByRole("row", { name: /network dev 1/ })).toBeVisible();
  await page.getByRole("row", { name: /shop dev/ }).getByRole("link", { name: "shop" }).click();
  await page.getByRole("button", { name: "Plan and apply" }).click();
  await expect(page.getByText("waits for an approval")).toBeVisible();
  await page.getByRole("link", { name: "Look at what waits" }).click();
  await page.getByRole("link", { name: /Review the plan/ }).click();
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
