import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { followScheme } from "./lib/scheme";
import "@xyflow/react/dist/style.css";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/controls.css";
import "./styles/content.css";
import "./styles/graph.css";
import "./styles/logs.css";
import "./styles/plan.css";

followScheme();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
