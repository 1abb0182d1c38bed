// Carrier of the precompiled header shared by every target above the pure layers (see Layers.cmake).
