/// Which earlier image tokens an image token sees. Every token sees all earlier text, and text sees everything before it.
public enum Mask: Equatable, Sendable {
    /// As many tokens before it in reading order as a row has (`Configuration.imageTokensPerSide`), and itself.
    case row
    /// Itself and those above it in its column.
    case column
    /// Those at most `kernel / 2` rows and columns away.
    case window(kernel: Int)

    /// That of layer `index` of `layers`.
    package init(layer index: Int, of layers: Int, kernel: Int, lastKernel: Int) {
        if index % 4 == 1 {
            self = .column
        } else if index == layers - 1 {
            self = .window(kernel: lastKernel)
        } else {
            self = index % 4 == 3 ? .window(kernel: kernel) : .row
        }
    }
}
