import { Icon } from "./icons";
import { tell } from "./toasts";

/** A button that copies a text, such as an address, for use elsewhere. */
export function Copy({ text, what }: { text: string; what: string }) {
  const copy = async () => {
    await put(text);
    tell(`Copied ${what}.`);
  };
  return (
    <button className="icon-button copy" aria-label={`Copy ${what}`} title={`Copy ${what}`} onClick={copy}>
      <Icon name="copy" size={14} />
    </button>
  );
}

async function put(text: string) {
  // Without encryption browsers have no clipboard, but still know the command.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
