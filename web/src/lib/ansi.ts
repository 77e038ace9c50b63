/** A piece of text in one look. */
export interface Piece {
  text: string;
  className: string;
}

const colours = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/**
 * Text with the colours of a terminal as pieces. Only colours, bold, dim and underlined are known;
 * every other sequence is left out, so that none can do anything to a page.
 */
export function piecesOf(text: string): Piece[] {
  if (!text.includes("\x1b")) return [{ text, className: "" }];
  const out: Piece[] = [];
  let colour = "";
  let bold = false;
  let dim = false;
  let underline = false;
  let last = 0;
  const put = (upTo: number) => {
    if (upTo > last) {
      const className = [
        colour && `ansi-${colour}`,
        bold && "ansi-bold",
        dim && "ansi-dim",
        underline && "ansi-underline",
      ]
        .filter(Boolean)
        .join(" ");
      out.push({ text: text.slice(last, upTo), className });
    }
  };
  // Sequences of control: CSI, OSC up to its end, and the short ones.
  const sequence = /\x1b(?:\[([0-9;?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)/g; // eslint-disable-line no-control-regex
  for (const found of text.matchAll(sequence)) {
    put(found.index);
    last = found.index + found[0].length;
    if (found[2] !== "m") continue;
    const codes = (found[1] || "0").split(";").map(Number);
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i]!;
      if (code === 38 || code === 48) {
        // A colour of the larger palettes: shown where it is one of the sixteen.
        const chosen = codes[i + 1] === 5 ? codes[i + 2]! : 16;
        if (code === 38) colour = chosen < 16 ? colours[chosen % 8]! : "";
        i += codes[i + 1] === 5 ? 2 : 4;
      } else if (code === 0) {
        colour = "";
        bold = dim = underline = false;
      } else if (code === 1) bold = true;
      else if (code === 2) dim = true;
      else if (code === 4) underline = true;
      else if (code === 22) bold = dim = false;
      else if (code === 24) underline = false;
      else if (code === 39) colour = "";
      else if (code >= 30 && code <= 37) colour = colours[code - 30]!;
      else if (code >= 90 && code <= 97) colour = colours[code - 90]!;
    }
  }
  put(text.length);
  return out;
}
