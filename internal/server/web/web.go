// Package web holds the UI as it is built from web/ at the root of the project.
package web

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var files embed.FS

// unbuilt is the page of a program that was built without the UI.
//
//go:embed unbuilt.html
var unbuilt []byte

// Handler serves the UI to whoever reads: its files, and its page for every other path,
// which the page itself reads. Files with a hash in their name never change; missing
// answers where there is none of that name.
func Handler(missing func(http.ResponseWriter)) http.Handler {
	dist, err := fs.Sub(files, "dist")
	if err != nil {
		panic(err) // it is embedded
	}
	page := http.FileServerFS(dist)
	if _, err := fs.Stat(dist, "index.html"); err != nil {
		page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(unbuilt)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		hashed := strings.HasPrefix(name, "assets/")
		if info, err := fs.Stat(dist, name); err != nil || info.IsDir() {
			if hashed {
				missing(w)
				return
			}
			r = r.Clone(r.Context())
			r.URL.Path = "/"
			w.Header().Set("Cache-Control", "no-cache")
		}
		if hashed {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		page.ServeHTTP(w, r)
	})
}
