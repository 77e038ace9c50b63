package observer

import (
	"regexp"

	"github.com/tutti-dev/tutti/internal/diag"
)

// throttling is what providers write when they are asked too often. They have no
// code for it: these are the words of the clouds' own errors (AWS: Throttling,
// ThrottlingException, RequestLimitExceeded, TooManyRequestsException, SlowDown;
// Google: rateLimitExceeded, RESOURCE_EXHAUSTED; Azure and most others: status
// 429).
var throttling = regexp.MustCompile(`(?i)throttl|too ?many ?requests|request ?limit ?exceeded|rate ?limit|rate exceeded|slow ?down|resource_exhausted|\b429\b`)

// throttled reports whether an error says that the provider was asked too often.
func throttled(diags diag.List) bool {
	for _, d := range diags {
		if d.Severity == diag.Error && throttling.MatchString(d.Summary+"\n"+d.Detail) {
			return true
		}
	}
	return false
}
