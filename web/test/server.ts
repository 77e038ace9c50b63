import { test as base, expect } from "@playwright/test";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

/** The project that is served: two stacks, of which one has a module and a policy that is not content, and workflows. */
export const project: Record<string, string> = {
  "site.tutti.hcl": `
environment "dev" {}
environment "prod" {}

stack "network" {
  source = "./network"
}
stack "shop" {
  source = "./shop"
  inputs = { network = stack.network.id }
}

policy "house" {
  source      = "./rules"
  enforcement = "advisory"
}

workflow "release" {
  description = "Builds a version, has it signed off and ships it."
  variable "version" {
    type        = string
    description = "Which version is to be shipped."
  }
  step "build" {
    exec { command = ["sh", "-c", "printf '\\\\033[32mbuilding\\\\033[0m \${var.version}\\\\n'; touch built"] }
  }
  step "test" {
    # Side by side with the other, but what both write has one order.
    exec { command = ["sh", "-c", "until [ -e built ]; do sleep 0.05; done; echo all is well"] }
  }
  step "sign_off" {
    needs = [step.build, step.test]
    approval { message = "Is this version fit to ship?" }
  }
  step "ship" {
    needs = [step.sign_off]
    exec { command = ["sh", "-c", "for i in 1 2 3; do echo shipping part $i; done"] }
  }
}

workflow "greet" {
  step "hello" {
    exec { command = ["echo", "hello"] }
  }
}

trigger "nightly" {
  schedule    = "0 3 * * *"
  timezone    = "UTC"
  run         = workflow.greet
  environment = "dev"
}

trigger "pushed" {
  on          = { type = ["com.example.push"] }
  run         = workflow.greet
  environment = "dev"
}

workflow "fan_out" {
  description = "Does the same in every region."
  step "regions" {
    for_each           = toset(["ap", "eu", "sa", "us"])
    tolerated_failures = 1
    retry {
      attempts = 2
      backoff  = "10ms"
    }
    exec { command = ["sh", "-c", "echo shipping to $0; test $0 != sa", each.value] }
  }
}

workflow "broken" {
  step "prepare" {
    exec { command = ["echo", "ready"] }
  }
  step "fails" {
    needs = [step.prepare]
    exec { command = ["sh", "-c", "echo something is wrong >&2; exit 3"] }
  }
}
`,
  "prices/house.csv": `provider,type,region,component,match,quantity,unit,price,currency,date,source
,terraform_data,*,licence?,triggers_replace=1,,month,12.50,EUR,2025,price list
,terraform_data,*,licence?,triggers_replace=2,,month,40,EUR,2025,price list
`,
  "rules/house.rego": `package main

deny contains decision if {
  some change in input.plan.resource_changes
  change.change.after.input.name == "web"
  decision := {
    "msg": "web servers need a second zone",
    "resource": change.address,
    "fix": "set zones to two or more",
  }
}
`,
  "network/main.tf": `
resource "terraform_data" "network" {
  input = "10.0.0.0/16"
}
output "id" {
  value = terraform_data.network.output
}
`,
  "shop/main.tf": `
variable "network" {
  type = string
}
variable "password" {
  type      = string
  default   = "correct-horse"
  sensitive = true
}
variable "release" {
  type    = string
  default = "1"
}
resource "terraform_data" "image" {
  triggers_replace = var.release
}
resource "terraform_data" "config" {
  input = "listen 80\\nroot /srv\\nrelease \${var.release}\\n"
}
module "web" {
  source   = "./web"
  for_each = toset(["blue", "green"])
  image    = terraform_data.image.id
  network  = var.network
  password = var.password
}
output "count" {
  value = length(module.web)
}
`,
  "shop/web/main.tf": `
variable "image" {}
variable "network" {}
variable "password" {}
resource "terraform_data" "server" {
  count = 2
  input = { name = "web", image = var.image, network = var.network, number = count.index, password = var.password }
}
`,
};

/** Notify blocks for a receiver: one that takes everything, one that refuses it, one that wants it later. */
export const notified = (url: string) =>
  ["chat", "ops", "code"]
    .map(
      (name) => `
notify "${name}" {
  on            = { type = ["run.failed"] }
  allow_private = ["127.0.0.0/8"]
  webhook { url = "${url}/${name}" }
}
`,
    )
    .join("");

/** Takes what others are told: says how to answer by path. */
async function receive(): Promise<{ url: string; stop: () => void }> {
  const answers: Record<string, [status: number, headers: Record<string, string>]> = {
    "/chat": [204, {}],
    "/ops": [410, {}],
    "/code": [503, { "Retry-After": "3600" }],
  };
  const receiver = createServer((request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(...answers[request.url!]!).end());
  });
  await new Promise<void>((listening) => receiver.listen(0, "127.0.0.1", listening));
  const { port } = receiver.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, stop: () => receiver.close() };
}

/** A port that nobody listens at. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

/** Changes a stack, and waits until it is done. */
export async function applied(served: Served, stack: string): Promise<string> {
  const path = `/environments/dev/stacks/${stack}/changes`;
  const run = await served.api<{ id: string }>("POST", path, { kind: "apply" });
  return settled(served, run.id, ["succeeded"]);
}

/** Waits until a run stands in one of the given ways. */
export async function settled(served: Served, run: string, statuses: string[]): Promise<string> {
  await expect
    .poll(async () => (await served.api<{ status: string }>("GET", `/runs/${run}`)).status, { timeout: 30_000 })
    .toMatch(new RegExp(statuses.join("|")));
  return run;
}

/** Waits until a step wants an approval. */
export async function asked(served: Served, run: string): Promise<{ step: string; plan?: string }> {
  type Approval = { run: { id: string }; step: string; plan?: string };
  let found: Approval | undefined;
  await expect
    .poll(
      async () => {
        const list = await served.api<{ items: Approval[] }>("GET", "/approvals");
        found = list.items.find((a) => a.run.id === run);
        return found !== undefined;
      },
      { timeout: 30_000 },
    )
    .toBe(true);
  return found!;
}

/** A project with a server. */
export interface Served {
  url: string;
  dir: string;
  /** Sends a request to the API and returns what it answers. */
  api: <T>(method: string, path: string, body?: unknown) => Promise<T>;
  write: (name: string, text: string) => void;
  read: (name: string) => string;
  /** Runs a command and returns what it prints. */
  tutti: (...args: string[]) => string;
  /** Kills the server, as a power cut would. */
  kill: () => Promise<void>;
  /** Starts the server again at the same address. */
  restart: () => Promise<void>;
}

/** What a server is made with. */
export interface Options {
  /** Arguments of the server. */
  args: string[];
  /** More files of its project. */
  files: Record<string, string>;
  /** The name that browsers know it by; its address unless given. */
  host?: string;
  /** Whether it has notify blocks, which tell a receiver of runs that fail. */
  notifies: boolean;
}

const binary = resolve(import.meta.dirname, "../../bin/tutti");

/** Where the providers are that "make providers" builds. */
const mirror = resolve(import.meta.dirname, "../../.cache/terraformrc");

export async function serve(options: Options): Promise<{ served: Served; stop: () => void }> {
  const root = mkdtempSync(join(tmpdir(), "tutti-web-"));
  const dir = join(root, "acme"); // pages show the name of the directory
  const write = (name: string, text: string) => {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  };
  const read = (name: string) => readFileSync(join(dir, name), "utf8");
  const receiver = options.notifies ? await receive() : undefined;
  const more = receiver ? { "notify.tutti.hcl": notified(receiver.url) } : {};
  for (const [name, text] of Object.entries({ ...project, ...more, ...options.files })) write(name, text);
  const env = { ...process.env, HOME: dir, XDG_CONFIG_HOME: join(dir, ".config"), TF_CLI_CONFIG_FILE: mirror };
  const tutti = (...args: string[]) => execFileSync(binary, args, { cwd: dir, env, encoding: "utf8" });
  let server: ChildProcess | undefined;
  const start = async (address: string): Promise<string> => {
    const named = options.host ? [`-url=http://${options.host}:${address.split(":")[1]}`] : [];
    const begun = spawn(binary, ["server", `-listen=${address}`, ...named, ...options.args], {
      cwd: dir,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    server = begun;
    let told = "";
    begun.stderr!.on("data", (data) => (told += data));
    return new Promise<string>((found, failed) => {
      let text = "";
      begun.stdout!.on("data", (data) => {
        text += data;
        const at = / at (http\S+)/.exec(text);
        if (at) found(at[1]!);
      });
      begun.on("exit", () => failed(new Error("the server does not start: " + text + told)));
    });
  };
  const kill = async () => {
    const gone = new Promise((done) => server!.once("exit", done));
    server!.kill("SIGKILL");
    await gone;
  };
  const address = `127.0.0.1:${await freePort()}`;
  const url = await start(address);
  const restart = async () => void (await start(address));
  const api = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const answer = await fetch(url + "/api/v1" + path, {
      method,
      headers: { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  };
  const stop = () => {
    server!.removeAllListeners("exit");
    server!.kill("SIGKILL");
    receiver?.stop();
    rmSync(root, { recursive: true, force: true });
  };
  return { served: { url, dir, api, write, read, tutti, kill, restart }, stop };
}

/** A test with a server of its own. */
export const test = base.extend<{ served: Served; options: Options }>({
  options: [{ args: [], files: {}, notifies: false }, { option: true }],
  served: async ({ options }, use) => {
    const { served, stop } = await serve(options);
    await use(served);
    stop();
  },
});

export { expect };
