package project

import (
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
)

// OpenWorkflows reads the project in the current directory.
func (s *Session) OpenWorkflows() (*projects.Project, diag.List) {
	if !projects.Exists(".") {
		return nil, diag.Errorf("No project files", "There are no *%s files in this directory. Workflows are declared there, in workflow blocks.", projects.Suffix)
	}
	p, diags := projects.Load(".")
	if p != nil {
		s.Sources = p.Files
	}
	return p, diags
}
