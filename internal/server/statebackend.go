package server

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/states"
)

// The state backend is what Terraform's backend "http" talks to: GET, POST and
// DELETE on the state, LOCK and UNLOCK with the lock as JSON. Whoever uses it may
// change the state by hand: the file has everything, secrets as well.

// StatePrefix begins the addresses of states; environment and stack follow.
const StatePrefix = api.Prefix + "/state/"

// mostState bounds the size of a state that is pushed.
const mostState = 512 << 20

func (s *Server) stateBackend(mux *http.ServeMux) {
	const path = StatePrefix + "{environment}/{stack}"
	for method, answer := range map[string]func(http.ResponseWriter, *http.Request, states.Key) error{
		http.MethodGet: s.pullState, http.MethodPost: s.pushState, http.MethodDelete: s.purgeState,
		"LOCK": s.lockState, "UNLOCK": s.unlockState,
	} {
		mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) {
			key := states.Key{Environment: r.PathValue("environment"), Stack: r.PathValue("stack")}
			if key.Stack == "-" {
				key.Stack = ""
			}
			err := s.mayHold(r, key)
			if err == nil {
				err = answer(w, r, key)
			}
			if err != nil {
				refuse(w, err)
			}
		})
	}
}

// mayHold refuses who may not both change and read the state. It is asked before
// anything is looked up, so that a state that is there and one that is not are refused
// alike; and with 403, because Terraform takes 404 for an empty state.
func (s *Server) mayHold(r *http.Request, key states.Key) error {
	for _, verb := range []access.Verb{access.State, access.Read} {
		if err := s.API.Work.Authorize(r.Context(), api.IdentityOf(r.Context()), verb, key.Environment, key.Stack); err != nil {
			return err
		}
	}
	return nil
}

// refuse answers with what Terraform expects: the lock where there is one.
func refuse(w http.ResponseWriter, err error) {
	var locked *states.LockError
	var claimed *states.ClaimError
	var stale *states.StaleError
	switch {
	case errors.As(err, &locked):
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusLocked)
		_ = json.NewEncoder(w).Encode(locked.Lock)
	case errors.As(err, &claimed):
		// A run of Tutti is what has it; Terraform shows who that is.
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusLocked)
		_ = json.NewEncoder(w).Encode(states.Lock{ID: claimed.Run, Operation: "run", Who: "tutti", Info: claimed.Error()})
	case errors.As(err, &stale), errors.Is(err, api.ErrConflict):
		tell(w, http.StatusConflict, err.Error())
	case errors.Is(err, api.ErrForbidden):
		tell(w, http.StatusForbidden, err.Error())
	case diag.Of(err).HasErrors():
		tell(w, http.StatusUnprocessableEntity, err.Error())
	default:
		tell(w, http.StatusInternalServerError, err.Error())
	}
}

func (s *Server) pullState(w http.ResponseWriter, r *http.Request, key states.Key) error {
	st, err := s.API.Work.State(r.Context(), key)
	if err != nil {
		return err
	}
	if st.Serial == 0 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if len(st.Problems) > 0 {
		return diag.Errorf("Values of the state cannot be read", "The server has not the key they are sealed with.").Err()
	}
	data, err := states.Encode(st)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data)
	return nil
}

func (s *Server) pushState(w http.ResponseWriter, r *http.Request, key states.Key) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostState))
	if err != nil {
		return diag.Errorf("State did not arrive", "%s.", err).Err()
	}
	st, err := states.Decode(data)
	if err != nil {
		return diag.FromError(err).Err()
	}
	if err := s.API.Work.PushState(r.Context(), api.IdentityOf(r.Context()), key, st, r.URL.Query().Get("ID")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// purgeState is asked for when a workspace is deleted.
func (s *Server) purgeState(w http.ResponseWriter, r *http.Request, key states.Key) error {
	if err := s.API.Work.PushState(r.Context(), api.IdentityOf(r.Context()), key, states.New(), r.URL.Query().Get("ID")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func readLock(w http.ResponseWriter, r *http.Request) (lock states.Lock, err error) {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&lock); err != nil {
		return lock, diag.Errorf("Invalid lock", "%s.", err).Err()
	}
	return lock, nil
}

func (s *Server) lockState(w http.ResponseWriter, r *http.Request, key states.Key) error {
	lock, err := readLock(w, r)
	if err != nil {
		return err
	}
	if lock.ID == "" {
		return diag.Errorf("Invalid lock", "It has no ID.").Err()
	}
	if err := s.Locks.Lock(r.Context(), key, lock); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) unlockState(w http.ResponseWriter, r *http.Request, key states.Key) error {
	lock, err := readLock(w, r)
	if err != nil && r.ContentLength > 0 {
		return err
	}
	// Without an ID it is "terraform force-unlock", which has asked already.
	if err := s.Locks.Unlock(r.Context(), key, lock.ID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
