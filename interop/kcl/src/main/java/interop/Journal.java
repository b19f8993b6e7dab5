package interop;

import java.io.FileOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;

/** The file of events, in the format of ../../../../../workers/event.go. What is written is there, also after a kill. */
final class Journal {
    private final FileOutputStream file;

    Journal(Path path) throws IOException {
        file = new FileOutputStream(path.toFile(), true);
    }

    /** One event; words are separated by spaces. */
    static String event(String session, String words) {
        Instant now = Instant.now();
        return (now.getEpochSecond() * 1_000_000 + now.getNano() / 1_000) + " " + session + " " + words + "\n";
    }

    /** Writes events in one call of the operating system. */
    synchronized void write(String events) {
        try {
            file.write(events.getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
