import { Empty, PageHead } from "../parts/basics";

/** There are no scalers yet; this says so. */
export function Scalers() {
  return (
    <>
      <PageHead name="Scalers" sub="What grows and shrinks with its load." />
      <div className="panel">
        <Empty icon="scalers" title="No scalers yet">
          <p>This version of Tutti does not scale anything by itself.</p>
        </Empty>
      </div>
    </>
  );
}
