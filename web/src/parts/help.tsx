import { useBindings, type Binding } from "../lib/keys";
import { Dialog } from "./dialog";

/** What the keys do: those of the page that is shown, then those of every page. */
export function Help({ onClose }: { onClose: () => void }) {
  const bindings = useBindings();
  const here = bindings.filter((b) => !b.everywhere);
  return (
    <Dialog label="Keys" onClose={onClose}>
      <div className="dialog-body">
        <h2>Keys</h2>
        {here.length > 0 && (
          <>
            <h3>On this page</h3>
            <dl className="help-keys">
              <Keys list={here} />
            </dl>
            <h3>Everywhere</h3>
          </>
        )}
        <dl className="help-keys">
          <dt>
            <kbd>Ctrl</kbd>
            <kbd>K</kbd>
          </dt>
          <dd>Search or go to anything (⌘ K on a Mac)</dd>
          <Keys list={bindings.filter((b) => b.everywhere && !here.some((h) => h.keys === b.keys))} />
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

function Keys({ list }: { list: Binding[] }) {
  return list.map((b) => (
    <div key={b.keys} style={{ display: "contents" }}>
      <dt>
        {b.keys.split(" ").map((k) => (
          <kbd key={k}>{k}</kbd>
        ))}
      </dt>
      <dd>{b.title}</dd>
    </div>
  ));
}
