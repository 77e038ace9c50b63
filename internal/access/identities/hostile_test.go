package identities_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
)

// TestHostileTokens shows ten thousand tokens that are none: valid ones damaged in
// all ways, and made up ones. Not one lets in, and nothing crashes.
func TestHostileTokens(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	f := &fakeIssuer{keys: []signingKey{keyA, keyB}}
	v, _ := verifier(t, f, workload)
	valid := []string{
		sign(keyA, claimsOf(nil), nil),
		sign(keyB, claimsOf(nil), nil),
		sign(keyA, claimsOf(func(c claimSet) {
			c["aud"], c["repository"], c["ref"] = "https://tutti.example.com", "org/shop", "refs/heads/main"
		}), nil),
	}
	known := map[string]bool{}
	for _, token := range valid {
		known[token] = true
		if who, err := v.Verify(t.Context(), token); err != nil || who.Subject == "" {
			t.Fatal(err)
		}
	}
	kinds := []func(*rand.Rand, string) string{
		damagedText, damagedHeader, damagedClaims, damagedSignature, mixedParts(valid), hostileHeader, signedByAnother, encrypted, nonsense,
	}
	count, asked := make([]int, len(kinds)), f.asked()
	for n := range 10_000 {
		kind := n % len(kinds)
		token := kinds[kind](r, valid[r.IntN(len(valid))])
		if known[token] {
			continue
		}
		count[kind]++
		who, err := v.Verify(t.Context(), token)
		if err == nil || who.Subject != "" || len(who.Groups)+len(who.Roles) > 0 {
			t.Fatalf("kind %d lets in %+v: %s", kind, who, token)
		}
		if len(err.Error()) > 2000 {
			t.Fatalf("kind %d: an error of %d characters", kind, len(err.Error()))
		}
	}
	for kind, n := range count {
		if n < 900 {
			t.Errorf("only %d tokens of kind %d were hostile", n, kind)
		}
	}
	if n := f.asked() - asked; n > 0 {
		t.Errorf("hostile tokens were %d requests", n)
	}
}

func split(token string) (header, claims, signature string) {
	parts := strings.SplitN(token, ".", 3)
	return parts[0], parts[1], parts[2]
}

func decoded(part string) []byte { return must(base64.RawURLEncoding.DecodeString(part)) }
func encoded(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func damage(r *rand.Rand, b []byte) []byte {
	b = append([]byte{}, b...)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(b) + 1)
		switch r.IntN(5) {
		case 0:
			b = append(b[:at:at], append([]byte{byte(r.IntN(256))}, b[at:]...)...)
		case 1:
			if at < len(b) {
				b = append(b[:at:at], b[at+1:]...)
			}
		case 2:
			if at < len(b) {
				b[at] ^= 1 << r.IntN(8)
			}
		case 3:
			odd := []string{".", "..", "=", "\x00", "\n", "\r\n", " ", "\u202e", "+", "/", "%2e", "\ufeff", "ä", "{}", `"`, `\u0000`, "é"}
			b = append(b[:at:at], append([]byte(odd[r.IntN(len(odd))]), b[at:]...)...)
		case 4:
			b = append(b[:at:at], append(append([]byte{}, b[:at]...), b[at:]...)...)
		}
	}
	return b
}

func damagedText(r *rand.Rand, token string) string { return string(damage(r, []byte(token))) }

func damagedHeader(r *rand.Rand, token string) string {
	h, c, s := split(token)
	return encoded(damage(r, decoded(h))) + "." + c + "." + s
}

func damagedClaims(r *rand.Rand, token string) string {
	h, c, s := split(token)
	return h + "." + encoded(damage(r, decoded(c))) + "." + s
}

func damagedSignature(r *rand.Rand, token string) string {
	h, c, s := split(token)
	raw := decoded(s)
	switch r.IntN(5) {
	case 0:
		raw = damage(r, raw)
	case 1:
		raw = raw[:r.IntN(len(raw))]
	case 2:
		raw = make([]byte, len(raw))
	case 3:
		raw = append([]byte{0}, raw...)
	case 4: // the same signature in other characters
		alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := strings.IndexByte(alphabet, s[len(s)-1])
		return h + "." + c + "." + s[:len(s)-1] + string(alphabet[last^(1+r.IntN(3))])
	}
	return h + "." + c + "." + encoded(raw)
}

// mixedParts puts the parts of several tokens together, or in another order.
func mixedParts(valid []string) func(*rand.Rand, string) string {
	return func(r *rand.Rand, token string) string {
		var parts []string
		for _, other := range valid {
			h, c, s := split(other)
			parts = append(parts, h, c, s)
		}
		n := 3
		if r.IntN(4) == 0 {
			n = r.IntN(7)
		}
		out := make([]string, n)
		for i := range out {
			out[i] = parts[r.IntN(len(parts))]
		}
		return strings.Join(out, ".")
	}
}

// hostileHeader keeps claims and signature and says something else about how they
// are signed.
func hostileHeader(r *rand.Rand, token string) string {
	_, c, s := split(token)
	algorithms := []string{"none", "None", "NONE", "nOnE", "", "HS256", "HS512", "RS256", "RS1", "ES256K", "dir", "A128KW", "EdDSA", "PS256", "RS256\x00", "rs256"}
	keys := []string{"a", "b", "", "../../../../dev/null", "/dev/null", "a' OR '1'='1", "http://evil.example.com/k", "a\x00", "|sleep 9", strings.Repeat("a", 20_000), "ä", "\u202ea", "a\n"}
	header := map[string]any{"alg": algorithms[r.IntN(len(algorithms))], "kid": keys[r.IntN(len(keys))]}
	more := []func(){
		func() { header["jku"] = "https://evil.example.com/keys" },
		func() { header["x5u"] = "https://evil.example.com/cert" },
		func() { header["jwk"] = jose.JSONWebKey{Key: otherRSA.Public(), KeyID: "a"} },
		func() { header["x5c"] = []string{"AAAA"} },
		func() { header["crit"] = []string{"b64"}; header["b64"] = false },
		func() { header["typ"] = []any{"JWT"} },
		func() { header["typ"] = "secevent+jwt" },
		func() { header["zip"] = "DEF" },
		func() { header["enc"] = "A256GCM" },
		func() { header["cty"] = "JWT" },
		func() { header["alg"] = []string{"RS256"} },
		func() { header["alg"] = map[string]any{"alg": "RS256"} },
		func() { header["kid"] = 7 },
		func() { header["kid"] = nil },
		func() { header["n"] = nested(r.IntN(5000)) },
	}
	for range r.IntN(4) {
		more[r.IntN(len(more))]()
	}
	text := must(json.Marshal(header))
	if r.IntN(5) == 0 { // the first or the last counts, as one reads it
		text = append([]byte(`{"alg":"RS256","kid":"a",`), text[1:]...)
	}
	switch r.IntN(6) {
	case 0:
		s = ""
	case 1:
		s = encoded([]byte{0})
	}
	return encoded(text) + "." + c + "." + s
}

func nested(depth int) json.RawMessage {
	return json.RawMessage(strings.Repeat("[", depth) + strings.Repeat("]", depth))
}

// signedByAnother is a good token, but for who signed it.
func signedByAnother(r *rand.Rand, token string) string {
	_, c, _ := split(token)
	names := []string{"a", "b", "mine", "", "../a", "A"}
	k := signingKey{names[r.IntN(len(names))], []jose.SignatureAlgorithm{jose.RS256, jose.RS512, jose.PS256}[r.IntN(3)], otherRSA}
	members := map[string]any{}
	switch r.IntN(4) {
	case 0:
		members["jwk"] = jose.JSONWebKey{Key: otherRSA.Public(), KeyID: "a", Algorithm: string(k.algorithm), Use: "sig"}
	case 1:
		members["jku"] = fmt.Sprintf("https://id.example.com.evil.example.com/%d", r.IntN(1000))
	case 2:
		members["x5u"] = "https://evil.example.com/cert"
	}
	claims := string(decoded(c))
	if r.IntN(2) == 0 {
		claims = strings.Replace(claims, `"iat"`, fmt.Sprintf(`"n":%d,"iat"`, r.Uint32()), 1)
	}
	return sign(k, claims, members)
}

// encrypted is a token in a token: five parts, or an encrypted one called signed.
func encrypted(r *rand.Rand, token string) string {
	header := encoded(fmt.Appendf(nil, `{"alg":"dir","enc":"A128GCM","cty":"JWT","n":%d}`, r.Uint32()))
	switch r.IntN(3) {
	case 0:
		return header + ".." + encoded([]byte("123456789012")) + "." + encoded([]byte(token)) + "." + encoded([]byte("1234567890123456"))
	case 1:
		return header + "." + encoded([]byte(token)) + "." + encoded([]byte("sig"))
	}
	h, _, s := split(token)
	return h + "." + encoded(fmt.Appendf(nil, "%q", token+fmt.Sprint(r.Uint32()))) + "." + s
}

func nonsense(r *rand.Rand, token string) string {
	switch r.IntN(6) {
	case 0:
		b := make([]byte, r.IntN(300))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		return string(b)
	case 1:
		return strings.Repeat(".", r.IntN(100_000))
	case 2:
		return strings.Repeat(token, 2+r.IntN(200))
	case 3:
		return "tutti_" + token[:r.IntN(len(token))]
	case 4:
		return "Bearer " + token
	}
	return encoded([]byte(`{"alg":"RS256","kid":"a"}`)) + "." + encoded([]byte(nested(1+r.IntN(20_000)))) + "." + encoded([]byte{1})
}

// FuzzVerify lets nobody in who shows anything but a token of the issuer.
func FuzzVerify(f *testing.F) {
	valid := sign(keyA, claimsOf(nil), nil)
	f.Add(valid[:len(valid)-1])
	f.Add("a.b.c")
	f.Add(`{"payload":"","signatures":[]}`)
	v, _ := verifier(f, &fakeIssuer{keys: []signingKey{keyA, keyB}}, workload)
	f.Fuzz(func(t *testing.T, token string) {
		if who, err := v.Verify(t.Context(), token); token != valid && (err == nil || who.Subject != "") {
			t.Errorf("%q lets in %+v", token, who)
		}
	})
}
