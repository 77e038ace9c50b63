package server

import (
	"net/http"

	"github.com/tutti-dev/tutti/internal/server/web"
)

// ui serves the files of the UI.
func (s *Server) ui() http.Handler { return web.Handler() }
