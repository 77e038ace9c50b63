import { useEffect, useRef, type ReactNode } from "react";

/** Something that is to be seen to before anything else. Escape and a click beside it close it. */
export function Dialog({
  label,
  className = "",
  onClose,
  children,
}: {
  label: string;
  className?: string;
  onClose: () => void;
  children: ReactNode;
}) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = box.current!;
    if (!dialog.open) dialog.showModal();
    return () => dialog.close();
  }, []);
  return (
    <dialog
      ref={box}
      className={`dialog ${className}`}
      aria-label={label}
      // Not only "cancel": browsers leave that out where Escape is pressed twice in a row.
      // It may have been opened again before the event of its closing comes.
      onClose={() => box.current?.open || onClose()}
      onClick={(event) => event.target === box.current && onClose()}
    >
      {children}
    </dialog>
  );
}
