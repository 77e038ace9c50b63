import { useState, type FormEvent } from "react";
import logo from "../icon.svg";

/** Asks for a token and opens a session with it. */
export function Login({ onDone }: { onDone: () => void }) {
  const [problem, setProblem] = useState("");
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(event.currentTarget) as unknown as Record<string, string>);
    const answer = await fetch("/login", { method: "POST", body });
    if (answer.ok) onDone();
    else setProblem(answer.status === 401 ? "This token does not hold." : answer.statusText);
  };
  return (
    <main className="login">
      <form onSubmit={submit}>
        <img src={logo} alt="" width="48" height="48" />
        <h1>Log in to Tutti</h1>
        <label htmlFor="token">Token</label>
        <input id="token" name="token" type="password" autoComplete="current-password" required autoFocus />
        {problem && <p role="alert">{problem}</p>}
        <button className="button primary">Log in</button>
        <p className="hint">
          Make a token with <code>tutti token create</code>.
        </p>
      </form>
    </main>
  );
}
