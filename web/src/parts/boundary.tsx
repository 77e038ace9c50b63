import { Component, type ReactNode } from "react";
import { Empty } from "./basics";

/** Says that a page is broken, instead of showing nothing. Another page is tried anew. */
export class Boundary extends Component<{ page: string; children: ReactNode }, { broken?: string; error?: unknown }> {
  override state: { broken?: string; error?: unknown } = {};

  override componentDidCatch(error: unknown) {
    this.setState({ broken: this.props.page, error });
  }

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override componentDidUpdate() {
    if (this.state.broken !== undefined && this.state.broken !== this.props.page) {
      this.setState({ broken: undefined, error: undefined });
    }
  }

  override render() {
    if (this.state.error === undefined) return this.props.children;
    return (
      <Empty alone icon="warning" title="This page cannot be shown">
        <p>
          It failed with <code>{String(this.state.error)}</code>. The server and its runs are not concerned.
        </p>
        <button className="button" onClick={() => window.location.reload()}>
          Load it again
        </button>
      </Empty>
    );
  }
}
