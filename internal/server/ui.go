package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/server/web"
)

// methods are those that something here answers to.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "LOCK", "UNLOCK"}

// elsewhere answers requests that nothing else of a multiplexer does: whoever looks for a
// page is given the UI, and everybody else told what is wrong.
func elsewhere(mux *http.ServeMux) http.Handler {
	ui := web.Handler(func(w http.ResponseWriter) { tell(w, http.StatusNotFound, "There is no such file.") })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		machine := r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/")
		if reading := r.Method == http.MethodGet || r.Method == http.MethodHead; reading && !machine {
			ui.ServeHTTP(w, r)
			return
		}
		allowed := slices.DeleteFunc(slices.Clone(methods), func(method string) bool {
			if !machine && (method == http.MethodGet || method == http.MethodHead) {
				return false // the UI's pages
			}
			_, pattern := mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host})
			return pattern == "/"
		})
		if len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			tell(w, http.StatusMethodNotAllowed, "Nothing here answers to "+r.Method+".")
			return
		}
		tell(w, http.StatusNotFound, "The API has no such path: "+api.Prefix+"/openapi.json describes it.")
	})
}
