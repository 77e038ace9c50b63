import { test as base, expect } from "@playwright/test";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

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

workflow "release" {
  description = "Builds a version, has it signed off and ships it."
  variable "version" {
    type = string
  }
  step "build" {
    exec { command = ["echo", "building \${var.version}"] }
  }
  step "sign_off" {
    needs = [step.build]
    approval { message = "Is this version fit to ship?" }
  }
  step "ship" {
    needs = [step.sign_off]
    exec { command = ["sh", "-c", "for i in 1 2 3; do echo shipping part $i; done"] }
  }
}

workflow "broken" {
  step "fails" {
    exec { command = ["sh", "-c", "echo something is wrong >&2; exit 3"] }
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
resource "terraform_data" "web" {
  count = 2
  input = { network = var.network, number = count.index, password = var.password }
}
output "count" {
  value = length(terraform_data.web)
}
`,
};

/** A project with a server. */
export interface Served {
  url: string;
  dir: string;
  /** Sends a request to the API and returns what it answers. */
  api: <T>(method: string, path: string, body?: unknown) => Promise<T>;
  write: (name: string, text: string) => void;
}

const binary = resolve(import.meta.dirname, "../../bin/tutti");

async function serve(): Promise<{ served: Served; stop: () => void }> {
  const dir = mkdtempSync(join(tmpdir(), "tutti-web-"));
  const write = (name: string, text: string) => {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  };
  for (const [name, text] of Object.entries(project)) write(name, text);
  const server: ChildProcess = spawn(binary, ["server", "-listen=127.0.0.1:0"], {
    cwd: dir,
    env: { ...process.env, HOME: dir, XDG_CONFIG_HOME: join(dir, ".config"), TF_CLI_CONFIG_FILE: "/dev/null" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let told = "";
  server.stderr!.on("data", (data) => (told += data));
  const url = await new Promise<string>((found, failed) => {
    let text = "";
    server.stdout!.on("data", (data) => {
      text += data;
      const at = / at (http\S+)/.exec(text);
      if (at) found(at[1]!);
    });
    server.on("exit", () => failed(new Error("the server does not start: " + text + told)));
  });
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
    server.removeAllListeners("exit");
    server.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  };
  return { served: { url, dir, api, write }, stop };
}

/** A test with a server of its own. */
export const test = base.extend<{ served: Served }>({
  // eslint-disable-next-line no-empty-pattern
  served: async ({}, use) => {
    const { served, stop } = await serve();
    await use(served);
    stop();
  },
});

export { expect };
