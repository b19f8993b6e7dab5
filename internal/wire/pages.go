package wire

import (
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/rheostream/rheo/internal/api"
)

// makePages are the answers that are no API: whether the server is there, and how
// it does.
func (h *Handler) makePages() map[string]http.HandlerFunc {
	pages := map[string]http.HandlerFunc{
		"/health":             h.health,
		"/_localstack/health": h.localStackHealth,
	}
	if h.Metrics != nil {
		pages["/metrics"] = h.Metrics.Handler().ServeHTTP
	}
	return pages
}

// page serves a page. Health is for anyone. The metrics tell of accounts and
// their streams, and a scraper signs nothing, so they are for this machine only,
// and not for a page of another site in one of its browsers; MetricsOpen opens
// them where keys are configured.
func (x *exchange) page(page http.HandlerFunc) error {
	if x.r.URL.Path == "/metrics" && (x.Auth.Open() || !x.MetricsOpen) {
		if !isLoopback(hostOf(x.r.RemoteAddr)) {
			return errMetricsClosed
		}
		if err := x.names.admit(x.r); err != nil {
			return err
		}
	}
	x.answered, x.status = true, http.StatusOK
	page(x.w, x.r)
	return nil
}

var errMetricsClosed = &api.Error{Code: "AccessDeniedException", Status: http.StatusForbidden,
	Message: "The metrics are shown to this machine only. The server's setting metrics=open shows them to anyone who reaches it."}

func (h *Handler) health(w http.ResponseWriter, _ *http.Request) {
	status := http.StatusOK
	health := struct {
		Status  string `json:"status"`
		Version string `json:"version,omitempty"`
	}{"ok", h.Version}
	if h.draining.Err() != nil {
		status, health.Status = http.StatusServiceUnavailable, "stopping"
	}
	writeJSON(w, status, health)
}

// localStackHealth is what clients made for LocalStack wait for.
func (h *Handler) localStackHealth(w http.ResponseWriter, _ *http.Request) {
	services := map[string]string{}
	for _, s := range h.Services {
		services[s.Name] = "running"
	}
	writeJSON(w, http.StatusOK, struct {
		Services map[string]string `json:"services"`
		Edition  string            `json:"edition"`
		Version  string            `json:"version"`
	}{services, "rheo", h.Version})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		status, body = http.StatusInternalServerError, []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
