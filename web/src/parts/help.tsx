import { useBindings } from "../lib/keys";
import { Dialog } from "./dialog";

/** What the keys do on the page that is shown. */
export function Help({ onClose }: { onClose: () => void }) {
  const bindings = useBindings();
  return (
    <Dialog label="Keys" onClose={onClose}>
      <div className="dialog-body">
        <h2>Keys</h2>
        <dl className="help-keys">
          <dt>
            <kbd>Ctrl</kbd>
            <kbd>K</kbd>
          </dt>
          <dd>Search or go to anything (⌘ K on a Mac)</dd>
          {bindings.map((b) => (
            <div key={b.keys} style={{ display: "contents" }}>
              <dt>
                {b.keys.split(" ").map((k) => (
                  <kbd key={k}>{k}</kbd>
                ))}
              </dt>
              <dd>{b.title}</dd>
            </div>
          ))}
        </dl>
        <div className="dialog-foot">
          <button className="button" onClick={onClose}>
            Close
          </button>
        </div>
      </div>
    </Dialog>
  );
}
