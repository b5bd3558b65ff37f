/// The version of the library and its programs. Its first number is that of the interface in C, `RUDOLPH_VERSION`.
public var rudolphVersion: String { "1.0.0" }
