package interop;

/** What was seen is not what should have been. */
final class Mismatch extends RuntimeException {
    Mismatch(String message) {
        super(message);
    }

    static void equal(String what, Object got, Object want) {
        if (!got.equals(want)) {
            throw new Mismatch(what + " is " + clip(got) + ", want " + clip(want));
        }
    }

    private static String clip(Object value) {
        String s = String.valueOf(value);
        return s.substring(0, Math.min(s.length(), 1000));
    }
}
