import { Link } from "../lib/router";
import { Empty, PageHead } from "../parts/basics";

/** There are no scalers yet; this says so, and what does similar things today. */
export function Scalers() {
  return (
    <>
      <PageHead name="Scalers" sub="What grows and shrinks with its load." />
      <div className="panel">
        <Empty icon="scalers" title="No scalers yet">
          <p>
            This version of Tutti does not scale anything by itself. Until it does, a schedule or an event can start a
            workflow that changes how many there are of something.
          </p>
          <div className="actions">
            <Link className="button" href="/triggers">
              See triggers
            </Link>
            <Link className="button" href="/workflows">
              See workflows
            </Link>
          </div>
        </Empty>
      </div>
    </>
  );
}
