package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/lm"
)

// fail answers with a problem, as RFC 9457 writes one down.
func fail(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem(status, detail))
}

func problem(status int, detail string, errs ...error) huma.StatusError {
	return huma.NewError(status, printable.Clean(detail), errs...)
}

func notFound(format string, args ...any) error {
	return problem(http.StatusNotFound, fmt.Sprintf(format, args...))
}

// refusal is what an error of the work comes to for who asked: each mistake of a request by itself, with what cures it,
// as the command says it.
func refusal(err error) error {
	var status huma.StatusError
	var time *timeUp
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &status):
		return err
	case errors.Is(err, errBusy):
		return huma.ErrorWithHeaders(problem(http.StatusServiceUnavailable, err.Error()), http.Header{"Retry-After": {"5"}})
	case errors.Is(err, lm.ErrClosed):
		return problem(http.StatusServiceUnavailable, err.Error())
	case errors.As(err, &time):
		return problem(http.StatusGatewayTimeout, err.Error()+": ask for less, or raise --time")
	case errors.Is(err, context.Canceled):
		return problem(statusGone, "the client went away")
	case errors.As(err, &large):
		return problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("a request may have %d bytes here", large.Limit))
	}
	mistakes := mistakesOf(err)
	if len(mistakes) == 0 {
		return problem(http.StatusUnprocessableEntity, err.Error())
	}
	var details []error
	for _, m := range mistakes {
		d := &huma.ErrorDetail{Message: printable.Clean(m.Error())}
		if m.Setting != "" {
			d.Location = "body." + m.Setting
		}
		details = append(details, d)
	}
	return problem(http.StatusUnprocessableEntity, "the request asks for what cannot be", details...)
}

// statusOf is the status of a problem.
func statusOf(err error) int {
	var known huma.StatusError
	if errors.As(err, &known) {
		return known.GetStatus()
	}
	return http.StatusInternalServerError
}

// statusGone is what an answer is counted as that nobody waited for.
const statusGone = 499

// mistakesOf finds all mistakes in an error that joins them.
func mistakesOf(err error) (all []*lmkit.Mistake) {
	var one *lmkit.Mistake
	if joined, is := err.(interface{ Unwrap() []error }); is {
		for _, e := range joined.Unwrap() {
			all = append(all, mistakesOf(e)...)
		}
		return all
	}
	if errors.As(err, &one) {
		all = append(all, one)
	}
	return all
}
