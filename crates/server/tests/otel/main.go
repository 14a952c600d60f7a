// Receives OTLP logs as the OpenTelemetry Collector does, with its own receiver, and prints a line of JSON
// for each log record: what the receiver has understood.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// What is printed of a log record.
type line struct {
	Resource   map[string]any `json:"resource"`
	Scope      string         `json:"scope"`
	Time       int64          `json:"time"`
	Observed   int64          `json:"observed"`
	Severity   int32          `json:"severity"`
	Text       string         `json:"text"`
	Event      string         `json:"event"`
	Body       string         `json:"body"`
	Attributes map[string]any `json:"attributes"`
}

func print(_ context.Context, logs plog.Logs) error {
	out := json.NewEncoder(os.Stdout)
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				err := out.Encode(line{
					Resource:   resource.Resource().Attributes().AsRaw(),
					Scope:      scope.Scope().Name(),
					Time:       int64(record.Timestamp()),
					Observed:   int64(record.ObservedTimestamp()),
					Severity:   int32(record.SeverityNumber()),
					Text:       record.SeverityText(),
					Event:      record.EventName(),
					Body:       record.Body().Str(),
					Attributes: record.Attributes().AsRaw(),
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func run(address string) error {
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	settings := confmap.NewFromStringMap(map[string]any{
		"protocols": map[string]any{"http": map[string]any{"endpoint": address}},
	})
	if err := settings.Unmarshal(config); err != nil {
		return err
	}
	next, err := consumer.NewLogs(print)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	receiver, err := factory.CreateLogs(ctx, receivertest.NewNopSettings(factory.Type()), config, next)
	if err != nil {
		return err
	}
	if err := receiver.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return receiver.Shutdown(context.Background())
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
