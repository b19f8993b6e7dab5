package wire

import (
	"net/http"

	"github.com/go-json-experiment/json"
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

// page serves a page. Health is for anyone; the rest is as closed to other
// people's web pages as the API is.
func (x *exchange) page(page http.HandlerFunc) error {
	if x.Auth.Open() && x.r.URL.Path == "/metrics" {
		if err := x.names.admit(x.r); err != nil {
			return err
		}
	}
	x.answered, x.status = true, http.StatusOK
	page(x.w, x.r)
	return nil
}

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
