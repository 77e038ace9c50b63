import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The result is embedded in the program (internal/server/web). "npm run dev" serves
// the UI with the API of a server that runs beside it.
export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../internal/server/web/dist",
    emptyOutDir: true,
    target: "es2022",
    chunkSizeWarningLimit: 2500,
  },
  worker: { format: "es" },
  server: { proxy: { "/api": "http://127.0.0.1:7780", "/login": "http://127.0.0.1:7780", "/logout": "http://127.0.0.1:7780" } },
});
