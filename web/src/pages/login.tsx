import { useEffect, useState, type FormEvent } from "react";
import logo from "../icon.svg";
import { Icon } from "../parts/icons";

/** Asks for a token, or sends to an identity provider, and opens a session. */
export function Login({ onDone }: { onDone: () => void }) {
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const [identities, setIdentities] = useState<string[]>();
  useEffect(() => {
    document.title = "Log in · Tutti";
    const reading = new AbortController();
    fetch("/logins", { signal: reading.signal })
      .then((answer) => answer.json() as Promise<{ identities: string[] }>)
      .then((answer) => setIdentities(answer.identities))
      .catch(() => !reading.signal.aborted && setIdentities([])); // a token will do
    return () => reading.abort();
  }, []);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(event.currentTarget) as unknown as Record<string, string>);
    setBusy(true);
    setProblem(await logIn(body));
    setBusy(false);
  };
  /** Tries to log in; returns what went wrong, or nothing. */
  const logIn = async (body: URLSearchParams): Promise<string> => {
    try {
      const answer = await fetch("/login", { method: "POST", body });
      if (answer.ok) {
        onDone();
        return "";
      }
      if (answer.status === 401) return "This token does not hold. It may have expired or been revoked.";
      const said = (await answer.json().catch(() => ({}))) as { detail?: string };
      return said.detail ?? `The server refuses: ${answer.status} ${answer.statusText}`;
    } catch {
      return "The server does not answer. Try again.";
    }
  };
  const next = encodeURIComponent(location.pathname + location.search);
  if (!identities) return null;
  const hasIdentities = identities.length > 0;
  return (
    <main className="login">
      <form className="panel" onSubmit={submit}>
        <img src={logo} alt="" width="44" height="44" />
        <h1>Log in to Tutti</h1>
        {hasIdentities && (
          <>
            {identities.map((name) => (
              <a key={name} className="button primary" href={`/login/${encodeURIComponent(name)}?next=${next}`}>
                <Icon name="person" />
                Log in with {name}
              </a>
            ))}
            <div className="login-or">or with a token</div>
          </>
        )}
        <label className="field">
          <span className="field-name">Token</span>
          <input
            className="input mono"
            name="token"
            type="password"
            placeholder="tutti_…"
            autoComplete="current-password"
            required
            autoFocus={!hasIdentities}
            aria-invalid={problem !== ""}
            aria-describedby={problem ? "login-problem" : undefined}
          />
        </label>
        {problem && (
          <p role="alert" id="login-problem" className="login-problem">
            <Icon name="cross" />
            {problem}
          </p>
        )}
        <button className={hasIdentities ? "button" : "button primary"} disabled={busy}>
          Log in
        </button>
        <p className="muted small">
          Make a token with <code>tutti token create</code>.
        </p>
      </form>
    </main>
  );
}
