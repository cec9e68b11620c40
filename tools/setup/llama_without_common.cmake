# llama-cpp-python forces llama.cpp's "common" library on, which Python never loads;
# without it the wheel builds in half the time. Read by CMake as CMAKE_PROJECT_llama.cpp_INCLUDE.
set(LLAMA_BUILD_COMMON OFF CACHE BOOL "" FORCE)
