import { useEffect, useState, type FormEvent } from "react";
import logo from "../icon.svg";

/** Asks for a token, or sends to an identity provider, and opens a session. */
export function Login({ onDone }: { onDone: () => void }) {
  const [problem, setProblem] = useState("");
  const [identities, setIdentities] = useState<string[]>([]);
  useEffect(() => {
    const reading = new AbortController();
    fetch("/logins", { signal: reading.signal })
      .then((answer) => answer.json() as Promise<{ identities: string[] }>)
      .then((answer) => setIdentities(answer.identities))
      .catch(() => undefined); // a token will do
    return () => reading.abort();
  }, []);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(event.currentTarget) as unknown as Record<string, string>);
    const answer = await fetch("/login", { method: "POST", body });
    if (answer.ok) onDone();
    else setProblem(answer.status === 401 ? "This token does not hold." : answer.statusText);
  };
  const next = encodeURIComponent(location.pathname + location.search);
  return (
    <main className="login">
      <form onSubmit={submit}>
        <img src={logo} alt="" width="48" height="48" />
        <h1>Log in to Tutti</h1>
        {identities.map((name) => (
          <a key={name} className="button primary" href={`/login/${encodeURIComponent(name)}?next=${next}`}>
            Log in with {name}
          </a>
        ))}
        <label htmlFor="token">Token</label>
        <input id="token" name="token" type="password" autoComplete="current-password" required autoFocus />
        {problem && <p role="alert">{problem}</p>}
        <button className={identities.length > 0 ? "button" : "button primary"}>Log in</button>
        <p className="hint">
          Make a token with <code>tutti token create</code>.
        </p>
      </form>
    </main>
  );
}
