import type { Page } from "@playwright/test";
import { expect, settled, test, type Served } from "./server";

/** A step that says something, waits until the test lets it go on, and says something again. */
const waiting = (name: string, needs: string) => `
  step "${name}" {
    ${needs}
    exec {
      command    = ["sh", "-c", "echo ${name} begins; until [ -e go-${name} ]; do sleep 0.05; done; echo ${name} ends"]
      idempotent = true
    }
  }
`;

const files = {
  "live.tutti.hcl": `
workflow "live" {
${waiting("first", "")}
${waiting("second", "needs = [step.first]")}
${waiting("third", "needs = [step.second]")}
}
`,
};

test.use({ options: { args: [], files, notifies: false } });

const letGo = (served: Served, step: string) => served.write(`go-${step}`, "");

const node = (page: Page, step: string, status: string) =>
  expect(page.getByRole("button", { name: `${step}: ${status}`, exact: true })).toBeVisible();

test("a run is followed as it goes on, also when the server was killed meanwhile", async ({ page, served }) => {
  const run = await served.api<{ id: string }>("POST", "/runs", { workflow: "live", environment: "dev" });
  await page.goto(`${served.url}/runs/${run.id}`);
  const log = page.getByRole("log");
  await node(page, "first", "running");
  await node(page, "second", "waiting");
  await expect(log.getByText("first begins")).toBeVisible();
  await page.screenshot({ path: test.info().outputPath("1-first.png") });

  letGo(served, "first");
  await node(page, "first", "succeeded");
  await node(page, "second", "running");
  await expect(log.getByText("first ends")).toBeVisible();
  await expect(log.getByText("second begins")).toBeVisible();
  await page.screenshot({ path: test.info().outputPath("2-second.png") });

  // The timeline grows by itself, and nothing is asked for meanwhile.
  await page.getByRole("tab", { name: "Timeline" }).click();
  const bar = page.locator(".bar-running");
  const asked: string[] = [];
  page.on("request", (request) => request.url().includes("/api/") && asked.push(request.url()));
  const share = () => bar.evaluate((b) => parseFloat(b.style.width));
  const before = await share();
  await expect.poll(share).toBeGreaterThan(before);
  expect(asked).toEqual([]);
  await page.screenshot({ path: test.info().outputPath("3-timeline.png") });

  // What is shown stays while the server is away, and says so.
  await served.kill();
  await expect(page.getByText("The server does not answer")).toBeVisible();
  await expect(page.getByRole("button", { name: "second", exact: true })).toBeVisible();
  await page.screenshot({ path: test.info().outputPath("4-away.png") });
  await served.restart();
  await expect(page.getByText("The server does not answer")).toHaveCount(0);
  await expect(page.locator(".live.on")).toBeVisible();
  letGo(served, "second");
  await page.getByRole("tab", { name: "Graph" }).click();
  await node(page, "third", "running");
  await expect(log.getByText("third begins")).toBeVisible();
  // Each line once, though the stream was taken up again.
  await expect(log.getByText("first begins")).toHaveCount(1);
  await page.screenshot({ path: test.info().outputPath("5-third.png") });
  letGo(served, "third");
  await settled(served, run.id, ["succeeded"]);
  await expect(page.locator(".page-head [data-status=succeeded]")).toBeVisible();
  await node(page, "third", "succeeded");
  await page.screenshot({ path: test.info().outputPath("6-done.png") });
});
