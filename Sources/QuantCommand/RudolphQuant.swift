import ArgumentParser
import Converters

@main
struct RudolphQuant: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rudolph-quant",
        abstract: "Convert a RUDOLPH checkpoint to one packed file.",
        subcommands: [Convert.self],
        defaultSubcommand: Convert.self)
}
