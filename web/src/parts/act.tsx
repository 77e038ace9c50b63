import { useState, type FormEvent, type ReactNode } from "react";
import { Dialog } from "./dialog";
import { Icon, type IconName } from "./icons";
import { tell, tellProblem } from "./toasts";

/** What somebody is asked before a button does anything. */
export interface Question {
  title: string;
  text?: ReactNode;
  /** Whether a comment can be given, which is kept. */
  comment?: boolean;
}

/** A button that does something on the server, and says what came of it. */
export function Act({
  children,
  run,
  kind = "",
  icon,
  ask,
  done,
}: {
  children: ReactNode;
  run: (comment?: string) => Promise<unknown>;
  kind?: string;
  icon?: IconName;
  ask?: Question;
  done?: string;
}) {
  const [busy, setBusy] = useState(false);
  const [asking, setAsking] = useState(false);
  const act = async (comment?: string) => {
    setAsking(false);
    setBusy(true);
    try {
      await run(comment);
      if (done) tell(done);
    } catch (error) {
      tellProblem(error);
    } finally {
      setBusy(false);
    }
  };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const comment = String(new FormData(event.currentTarget).get("comment") ?? "").trim();
    void act(comment || undefined);
  };
  return (
    <>
      <button className={`button ${kind}`} disabled={busy} onClick={() => (ask ? setAsking(true) : act())}>
        {icon && <Icon name={icon} />}
        {children}
      </button>
      {asking && ask && (
        <Dialog label={ask.title} onClose={() => setAsking(false)}>
          <form className="dialog-body" onSubmit={submit}>
            <h2>{ask.title}</h2>
            {ask.text && <div>{ask.text}</div>}
            {ask.comment && (
              <label className="field">
                <span className="field-name">Comment</span>
                <textarea className="textarea" name="comment" maxLength={4000} placeholder="Kept with the decision" />
              </label>
            )}
            <div className="dialog-foot">
              <button type="button" className="button" onClick={() => setAsking(false)}>
                Back
              </button>
              <button className={`button ${kind || "primary"}`}>{children}</button>
            </div>
          </form>
        </Dialog>
      )}
    </>
  );
}
